// Package ca is the cluster's own certificate authority: its key and certificate, the certificates of
// orchestrators, routers and operators, what a certificate says of its holder, and join tokens, which carry the
// authority's hash. It is pure: no files, no network; the time is an argument.
//
// A certificate's holder is in its one URI: freeflow://ROLE/NAME, with the role router, orchestrator, admin,
// operator or viewer. A router's certificate also has the underlay address that it was joined with. Only an orchestrator's
// certificate may serve (ExtKeyUsage), and each has the name ServerName, by which clients know it wherever it listens.
package ca
