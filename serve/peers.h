/* SPDX-License-Identifier: Apache-2.0 */
/* serve/peers.h - connections, and the time each may take until its request is there.
 *
 * A server that waits for whoever is slow is taken by whoever opens enough connections. One that has
 * not sent a whole request in time is closed; when many are open, the one that has been at it longest is
 * closed for the next. */
#ifndef MT_SERVE_PEERS_H
#define MT_SERVE_PEERS_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct peer {
	int fd;			/* borrowed from the connection */
	bool asking;		/* no whole request yet, or none again */
	uint64_t since_ns;	/* when it began to ask */
	struct peer *next, **at;
};

struct peers {
	struct peer *first, **last;	/* by since_ns */
	size_t count, room;		/* of `room` connections a quarter stays free */
};

void peers_init(struct peers *p, size_t room);
struct peer *peers_add(struct peers *p, int fd, uint64_t now_ns);	/* NULL: out of memory */
void peers_remove(struct peers *p, struct peer *peer);			/* NULL accepted */
void peers_asks(struct peers *p, struct peer *peer, uint64_t now_ns);	/* its answer is sent */
void peer_answered(struct peer *peer);			/* its request is whole */
/* Shuts down what has been asking for too long. When the next one has: 0: none asks. */
uint64_t peers_turn(struct peers *p, uint64_t now_ns);

#endif
