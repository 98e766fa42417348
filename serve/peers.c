/* SPDX-License-Identifier: Apache-2.0 */
/* serve/peers.c - connections, and the time each may take.
 * Knows: descriptors, time. Does not know: HTTP.
 * Called by serve/server.c; calls libc. */
#include "serve/peers.h"

#include <stdlib.h>
#include <sys/socket.h>

#define ASK_NS 15000000000ull

void peers_init(struct peers *p, size_t room)
{
	*p = (struct peers){ .room = room };
	p->last = &p->first;
}

static void link_last(struct peers *p, struct peer *peer, uint64_t now)
{
	peer->since_ns = now;
	peer->next = NULL;
	peer->at = p->last;
	*p->last = peer;
	p->last = &peer->next;
}

static void unlink_peer(struct peers *p, struct peer *peer)
{
	*peer->at = peer->next;
	if (peer->next)
		peer->next->at = peer->at;
	else
		p->last = peer->at;
}

/* The connection is closed by its owner, who sees the end of the stream. */
static void shut(struct peer *peer)
{
	shutdown(peer->fd, SHUT_RDWR);
	peer->asking = false;
}

static struct peer *first_asking(struct peers *p)
{
	struct peer *peer = p->first;
	while (peer && !peer->asking)
		peer = peer->next;
	return peer;
}

struct peer *peers_add(struct peers *p, int fd, uint64_t now)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->fd = fd;
	peer->asking = true;
	link_last(p, peer, now);
	if (++p->count > p->room - p->room / 4) {
		struct peer *oldest = first_asking(p);
		if (oldest && oldest != peer)
			shut(oldest);
	}
	return peer;
}

void peers_remove(struct peers *p, struct peer *peer)
{
	if (!peer)
		return;
	unlink_peer(p, peer);
	p->count--;
	free(peer);
}

void peers_asks(struct peers *p, struct peer *peer, uint64_t now)
{
	unlink_peer(p, peer);
	peer->asking = true;
	link_last(p, peer, now);
}

void peer_answered(struct peer *peer)
{
	peer->asking = false;
}

uint64_t peers_turn(struct peers *p, uint64_t now)
{
	struct peer *peer;
	while ((peer = first_asking(p)) && now - peer->since_ns >= ASK_NS)
		shut(peer);
	return peer ? peer->since_ns + ASK_NS : 0;
}
