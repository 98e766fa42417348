/* SPDX-License-Identifier: Apache-2.0 */
/* serve/stream.c - live progress of a recording, as server-sent events.
 * Knows: the text/event-stream format. Does not know: how a recording is made.
 * Called by serve/; calls libmicrohttpd. */
#include "serve/exchange.h"

#include <string.h>

#define QUIET_NS 10000000000ull	/* a comment is sent after, to learn whether anybody is there */

struct stream {
	struct server *server;
	struct MHD_Connection *connection;
	unsigned recording, version;
	bool suspended, over;
	uint64_t said_ns;
	struct mt_buf text;		/* what is to be sent */
	size_t sent;
	struct stream *next, **at;
};

/* NULL: there is nothing to wait for. */
static const struct recording *stream_recording(const struct stream *s)
{
	return s->server->closing ? NULL : recordings_find(s->server->recordings, s->recording);
}

static void put_event(struct stream *s, const struct recording *rec)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return;
	struct mt_json j = mt_json_make(out, false);
	recording_json(rec, s->server->now_ns, &j, NULL);
	if (!fclose(out)) {
		mt_buf_put_str(&s->text, "data: ");
		mt_buf_put(&s->text, text, size);	/* one line, and its end */
		mt_buf_put_str(&s->text, "\n");
	}
	free(text);
	s->version = rec->version;
	s->said_ns = s->server->now_ns;
	s->over = recording_is_over(rec);
}

/* News, if there is any and all of before has been sent: who reads slowly gets fewer events, not more
 * memory. */
static void refill(struct stream *s)
{
	const struct recording *rec = stream_recording(s);
	mt_buf_clear(&s->text);
	s->sent = 0;
	if (!rec)
		s->over = true;
	else if (rec->version != s->version)
		put_event(s, rec);
	else if (s->server->now_ns - s->said_ns >= QUIET_NS) {
		mt_buf_put_str(&s->text, ": still there\n\n");
		s->said_ns = s->server->now_ns;
	}
}

static ssize_t read_stream(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = arg;
	(void)pos;
	if (s->sent == s->text.len) {
		if (s->over)
			return MHD_CONTENT_READER_END_OF_STREAM;
		refill(s);
	}
	size_t n = s->text.len - s->sent < max ? s->text.len - s->sent : max;
	if (n) {
		memcpy(buf, s->text.data + s->sent, n);
		s->sent += n;
		return (ssize_t)n;
	}
	if (s->over)
		return MHD_CONTENT_READER_END_OF_STREAM;
	s->suspended = true;
	s->server->mhd->suspend_connection(s->connection);
	return 0;
}

static void free_stream(void *arg)
{
	struct stream *s = arg;
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	s->server->stream_count--;
	mt_buf_deinit(&s->text);
	free(s);
}

enum MHD_Result stream_answer(struct exchange *x, unsigned recording)
{
	struct server *server = x->server;
	struct answer a = { .status = MHD_HTTP_OK, .type = "text/event-stream" };
	if (server->stream_count >= STREAMS_MAX)
		return answer_text(x, MHD_HTTP_SERVICE_UNAVAILABLE, "too many are watching");
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return MHD_NO;
	*s = (struct stream){ .server = server, .connection = x->connection, .recording = recording,
			      .version = ~0u, .next = server->streams, .at = &server->streams };
	if (s->next)
		s->next->at = &s->next;
	server->streams = s;
	server->stream_count++;
	struct MHD_Response *response = server->mhd->create_response_from_callback(
		MHD_SIZE_UNKNOWN, 4096, read_stream, s, free_stream);
	if (!response) {
		free_stream(s);
		return MHD_NO;
	}
	answer_headers(x, &a, response);
	enum MHD_Result rc = server->mhd->queue_response(x->connection, a.status, response);
	server->mhd->destroy_response(response);
	return rc;
}

void streams_turn(struct server *server)
{
	for (struct stream *s = server->streams, *next; s; s = next) {
		next = s->next;
		const struct recording *rec = stream_recording(s);
		bool news = !rec || rec->version != s->version ||
			    server->now_ns - s->said_ns >= QUIET_NS;
		if (!s->suspended || !news)
			continue;
		s->suspended = false;
		server->woken = true;
		server->mhd->resume_connection(s->connection);
	}
}
