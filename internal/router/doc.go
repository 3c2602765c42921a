// Package router is the router process: it joins the socket to the library (package fdconn), the kernel's ABI (package uapi), the verbs
// objects (package verbs), the workers that move data (package engine), the containers of this host (package container) and
// the management socket (package admin).
//
//	Run (router.go)        the run directory, the parts, and their end
//	server (server.go)     who is connected: sessions, tenants, contexts, and their limits
//	session (session.go)   one connection: OPEN, JOIN, COMMAND, memory, doorbells
//	identity.go            which container a process belongs to, by the kernel's word
//	dispatch*.go           one handler a uverbs command: decode, call verbs, encode
//	backend.go             what admin's socket answers
//
// Threads. Each session has a goroutine that owns it and that runs its commands one after the other; commands of different
// sessions run at once, and verbs orders those that meet in one context. The server's lock covers its maps and counts
// only: nothing blocks under it. No command touches the data path, which runs on the engine's workers without this package.
//
// Lifetimes. A context belongs to the sessions that opened or joined it and is closed with the last of them. A tenant (a
// container with its sessions) lasts from its registration to its removal, which ends its sessions first.
package router
