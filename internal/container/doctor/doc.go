// Package doctor is `freeflow doctor`: it finds out what a machine, or a container, lacks, and says what
// to do about it. It tries things out instead of reading version numbers: whether a bridge can be made is
// seen by making one, in a namespace that is thrown away. It changes nothing that stays.
package doctor
