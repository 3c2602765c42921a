/*
 * The process' connection to the router for rdma_cm: one for all its channels,
 * apart from those of its contexts. It is made when it is first needed, made
 * anew in a forked child and when it broke, and kept until the process ends.
 */
#ifndef FF_CM_ROUTER_H
#define FF_CM_ROUTER_H

#include "router.h"

/* Around the calls below and the use of a reply, inside a guard (guard.h). */
void cm_lock(void);
void cm_unlock(void);

/* Makes the connection if there is none: 0 or an errno. */
int cm_connect(void);

/*
 * A request and its reply over the connection, as router_call(): 0 or an errno,
 * the router's own or EIO if the connection broke. The reply's body is the
 * connection's, good until cm_unlock().
 */
int cm_call(enum router_op op, const struct iovec *body, int count, struct router_reply *reply);

/* In a forked child: the connection is the parent's. */
void cm_forked(void);

#endif
