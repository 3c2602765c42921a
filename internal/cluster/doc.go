// Package cluster is a router's side of the orchestrator: joining, what the cluster looks like, and what this
// host adds to it. It also has the operators' side (Operator), which the command line uses.
//
// How the router uses it:
//
//	err := cluster.Join(ctx, cfg)        // once; does nothing if the directory has good credentials
//	c, err := cluster.Open(cfg)          // at once, also if no orchestrator answers: with the state kept on disk
//	defer c.Close()                      // containers stay registered: their host is just not there for a while
//	cancel := c.Subscribe(func(s *cluster.State) { ... })   // called at once, and after each change
//
//	a, err := c.Register(ctx, cluster.Registration{...})    // before a container gets its network; gives its address
//	c.Unregister(a.Name, instance)                          // after its network is gone
//	c.AddMR(mr); c.RemoveMR(id)                             // never wait
//
// State is immutable: keep the pointer as long as you like. c.State() costs one atomic load; State.ContainerAt
// (network, IP) → container → State.Host(container.Host) → underlay address and features is the way to a route, but
// build tables from Subscribe for the path of packets. Subscribers are called one after the other, in the order of
// changes, from one goroutine of the Client; State.Changes tells what is new since the State before. They must not call
// Register, Unregister or Close, and should not take long: the next change waits.
//
// What the router has to know:
//
//   - A container of another host counts if it is Running; if its Host is not Ready, it may be running all the
//     same, and the path to it may still work.
//   - Registrations survive the router, on disk: a router that starts again has c.Registered() of the one before. A
//     container that does not come back has to be unregistered like any other.
//   - Register with the same name and instance again is the same registration. The instance is the router's ID of the
//     container; an unnamed container (Ephemeral) gives its address back when it stops, a named one keeps it.
//   - ErrUnreachable: no orchestrator answers, and the container was not known here before. ErrConflict: the name runs
//     on another host (the message names it), or the address is another's. ErrInvalid, ErrNotFound, ErrExhausted.
//   - Config.OnLost is called when the cluster has given a running container's name or address to somebody else while this
//     host was away. The router must end its network.
//   - State.Policies is what operators have decided, compiled; State.Subject is a container as policies see it. When State.Changes says Policies
//     (or All), ask anew about every local container and every connection; when it says Containers or Networks, about those. Of a container that
//     is starting, Client.Subject knows before the State does; Register waits for the first State there is.
//   - State.Revoked lists memory regions that an operator wants gone: make them useless, then RemoveMR.
//
// Which goroutine: all methods from any. What does not live here: networks, routes, containers' lives
// (packages vnet, fabric, container, router).
package cluster
