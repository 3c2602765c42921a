// Package orchestrator keeps the state of a cluster and decides about it: hosts, networks, containers and their
// addresses, the memory map, join tokens. It serves the API of api/freeflow/v1.
//
// All state is in etcd (keys.go); an orchestrator may end at any time and lose nothing, and any number of them
// may serve one etcd. None is a leader: every decision is one etcd transaction, which compares what the decision
// was based on and changes nothing if that is no longer so. Then it is taken anew.
//
//	Server      sockets, TLS                                        server.go, listen.go, web.go
//	access      who may call what, and who calls                    roles.go, access.go, login_*.go, token_store.go
//	auditLog    who changed what, and was refused what              audit*.go
//	UsageStore  what containers use, counted once; live views       usage*.go
//	services    the API's methods: checks of form, calls of Store   router_service.go, cluster_service.go
//	Store       decisions, as transactions                          store.go, register.go, hosts.go, networks.go, ...
//	Mirror      a copy of etcd's state, kept by a watch, and the
//	            latest changes, for those who watch the cluster     mirror.go, history.go
//	pool        which addresses of a network are free: a guess,
//	            which the transaction confirms                      pool.go
//
// What does not live here: etcd itself (package etcd), certificates (package ca), files that operators write
// (package manifest), and the router's side (internal/cluster).
//
// All exported methods may be called from any goroutine. Messages that Mirror hands out are shared and
// never changed.
package orchestrator
