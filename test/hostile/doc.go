// Package hostile runs containers that attack the router, beside containers that use it: the router lives, the others' data stay
// right and move on, and nobody's memory is reached. FF_HOSTILE_SECONDS says how long each attack lasts (default 3; 60 for
// acceptance).
package hostile
