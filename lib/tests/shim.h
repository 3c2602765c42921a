/*
 * What the library in shim.c notes. It is preloaded behind ours, as
 * librspreload.so is, and stands in for the calls on sockets and descriptors.
 */
#ifndef SHIM_H
#define SHIM_H

struct shim {
	int streams;		/* socket() of an Internet family and a stream ... */
	int other_sockets;	/* ... and of another kind */
	int type;		/* the last one's */
	int accepts;
	int fcntls;
	int receive_buffer, send_buffer;
	int calls;		/* on descriptors, in all */
};

extern struct shim shim;

#endif
