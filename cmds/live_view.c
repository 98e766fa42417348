/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/live_view.c - a session looked at on the terminal while it records.
 * Knows: threads, the growing capture, the pages of reporters/tui/. Does not know: rings, drawing.
 * Called by cmds/attach.c; calls capture/, analysis/, symbolize/ and reporters/tui/. */
#include "cmds/live_view.h"

#include "base/text.h"
#include "cmds/signals.h"
#include "record/clock.h"
#include "reporters/tui/tui.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <time.h>

#define PAGE_NS 1000000000ull	/* a new page each second ... */
#define PAGE_SHARE 4u		/* ... or later: making them takes a fifth of a processor at most */
#define COUNTS_NS 250000000ull
#define RATE_NS 1000000000ull
#define LEAVE_NS 500000000l	/* the screen has this long to give the terminal back */
#define WAIT_NS 50000000l

struct live_view {
	/* between the threads */
	pthread_mutex_t lock;
	pthread_cond_t asked;		/* a page was asked for, or it is over */
	struct data_request request;
	struct data *page;		/* the newest one that nobody took; NULL: none */
	struct mt_error *error;
	struct tui_status status;
	bool leave, ended;		/* the person leaves; no more is recorded */
	atomic_bool stop, screen_done;
	int wake_fd;			/* of the screen: something new */
	pthread_t reader, screen;
	struct termios modes;
	struct sigaction suspend;	/* what SIGTSTP did before */

	/* the recording thread's */
	uint64_t counts_ns, rate_ns, rate_events, begin_ns;

	/* the reading thread's */
	struct capture *cap;
	struct capture_pass *events;
	struct views_pass *views;
	struct symbolizer *sym;
	char root[64];			/* the target's, also when it is gone */
	int root_fd, memory_fd;
	bool no_native;
};

static void wake_screen(struct live_view *v)
{
	uint64_t one = 1;
	if (write(v->wake_fd, &one, sizeof(one)) < 0)
		return;		/* it is awake */
}

/* ---- the reading thread ---- */

/* Pages of the file in memory that were read go back to the system. */
static void give_back(struct live_view *v)
{
	if (v->memory_fd >= 0)
		fallocate(v->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  (off_t)capture_grown(v->cap));
}

/* The symbolizer and the views need what the first block says: there is one from the first poll on. */
static struct mt_error *begin_reading(struct live_view *v)
{
	struct symbolize_options options = { .sysroot = v->root, .no_debuginfod = true,
					     .no_native = v->no_native };
	struct view_options views = { .split_threads = true, .growth = true,
				      .temporary_threshold = 1 };
	if (v->views || !capture_meta(v->cap, CAPTURE_META_PID, NULL))
		return NULL;
	struct mt_error *err = capture_pass_begin(v->cap, &v->events);
	if (!err)
		err = views_pass_begin(v->cap, &views, &v->views);
	if (!err)
		err = symbolizer_create(v->cap, &options, &v->sym);
	return err;
}

static struct mt_error *read_on(struct live_view *v)
{
	const struct capture_event *events;
	size_t count = 1;
	struct mt_error *err = capture_grow(v->cap);
	if (!err)
		err = begin_reading(v);
	while (!err && v->views && count && !atomic_load(&v->stop)) {
		err = capture_pass_next(v->events, &events, &count);
		if (!err && count)
			err = views_pass_take(events, count, v->views);
	}
	if (!err && v->views && !count)
		give_back(v);
	return err;
}

static struct mt_error *make_page(struct live_view *v, const struct data_request *request,
				  struct data **ret)
{
	struct views *views;
	struct mt_error *err = views_pass_now(v->views, &views);
	if (!err)
		err = symbolizer_grow(v->sym);
	if (err)
		return err;
	struct report report = { .cap = v->cap, .sym = v->sym, .views = views,
				 .view = request->view, .split_threads = true };
	return data_make(&report, request, ret);
}

/* `request_ret`: what the page is of. Another one may have been asked for, and taken back, meanwhile. */
static struct mt_error *read_and_make(struct live_view *v, struct data_request *request_ret)
{
	struct data *page = NULL;
	struct mt_error *err = read_on(v);
	if (err || !v->views || atomic_load(&v->stop))
		return err;
	pthread_mutex_lock(&v->lock);
	*request_ret = v->request;
	pthread_mutex_unlock(&v->lock);
	err = make_page(v, request_ret, &page);
	if (err)
		return err;
	pthread_mutex_lock(&v->lock);
	struct data *dropped = v->page;
	v->page = page;
	pthread_mutex_unlock(&v->lock);
	data_destroy(dropped);
	return NULL;
}

static struct timespec after(uint64_t ns)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns += (uint64_t)ts.tv_nsec;
	ts.tv_sec += (time_t)(ns / 1000000000u);
	ts.tv_nsec = (long)(ns % 1000000000u);
	return ts;
}

/* Until the next page is due, another one is asked for, or it is over. `made_all`: the last page had all
 * that will ever be recorded. */
static void wait_for_work(struct live_view *v, const struct data_request *made, bool made_all,
			  uint64_t ns)
{
	struct timespec until = after(ns);
	int rc = 0;
	pthread_mutex_lock(&v->lock);
	while (!atomic_load(&v->stop) && rc != ETIMEDOUT && made_all == v->ended &&
	       data_request_same(&v->request, made))
		rc = made_all ? pthread_cond_wait(&v->asked, &v->lock) :
				pthread_cond_timedwait(&v->asked, &v->lock, &until);
	pthread_mutex_unlock(&v->lock);
}

/* How long to wait after a page that took `cost`. One that was dear once, because a library's symbols were
 * read, says nothing of the next. */
static uint64_t pause_after(const struct live_view *v, uint64_t cost, uint64_t cost_before)
{
	uint64_t usual = cost < cost_before ? cost : cost_before;
	if (!v->views)
		return PAGE_NS / 10;
	return usual * PAGE_SHARE > PAGE_NS ? usual * PAGE_SHARE : PAGE_NS;
}

static void *read_main(void *arg)
{
	struct live_view *v = arg;
	uint64_t cost = 0;
	while (!atomic_load(&v->stop)) {
		uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID), before = cost;
		pthread_mutex_lock(&v->lock);
		struct data_request request = v->request;
		bool ended = v->ended;
		pthread_mutex_unlock(&v->lock);
		struct mt_error *err = read_and_make(v, &request);
		if (err) {
			pthread_mutex_lock(&v->lock);
			v->error = err;
			v->leave = true;
			pthread_mutex_unlock(&v->lock);
			wake_screen(v);
			break;
		}
		wake_screen(v);
		cost = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
		wait_for_work(v, &request, ended, pause_after(v, cost, before));
	}
	return NULL;
}

/* ---- the screen's thread ---- */

static struct mt_error *get(void *arg, const struct data_request *request, struct data **ret)
{
	struct live_view *v = arg;
	uint64_t count;
	if (read(v->wake_fd, &count, sizeof(count)) < 0)
		count = 0;	/* a key brought us here */
	pthread_mutex_lock(&v->lock);
	if (!data_request_same(&v->request, request)) {
		v->request = *request;
		pthread_cond_signal(&v->asked);
	}
	struct data *page = v->page;
	v->page = NULL;
	pthread_mutex_unlock(&v->lock);
	if (page)
		*ret = page;
	return NULL;
}

static void status(void *arg, struct tui_status *ret)
{
	struct live_view *v = arg;
	pthread_mutex_lock(&v->lock);
	*ret = v->status;
	pthread_mutex_unlock(&v->lock);
}

static bool over(void *arg)
{
	struct live_view *v = arg;
	pthread_mutex_lock(&v->lock);
	bool leave = v->leave;
	pthread_mutex_unlock(&v->lock);
	return leave || atomic_load(&v->stop);
}

static void *screen_main(void *arg)
{
	struct live_view *v = arg;
	struct tui_source source = { .get = get, .status = status, .over = over,
				     .wake_fd = v->wake_fd, .arg = v };
	struct tui_options options = { .request = v->request, .color = cmd_color(STDOUT_FILENO) };
	struct mt_error *err = tui_run(&source, &options);
	pthread_mutex_lock(&v->lock);
	if (!v->error)
		v->error = err;
	else
		mt_error_destroy(err);
	v->leave = true;
	pthread_mutex_unlock(&v->lock);
	atomic_store(&v->screen_done, true);
	return NULL;
}

/* ---- the recording thread ---- */

static void free_view(struct live_view *v)
{
	symbolizer_destroy(v->sym);
	views_pass_end(v->views);
	capture_pass_end(v->events);
	capture_close(v->cap);
	data_destroy(v->page);
	mt_cleanup_close(&v->wake_fd);
	mt_cleanup_close(&v->root_fd);
	pthread_cond_destroy(&v->asked);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* Signals come to the thread that records; of the size of the terminal the screen hears. */
static int start_thread(pthread_t *ret, void *(*fn)(void *), void *arg, bool window)
{
	sigset_t all, before;
	sigfillset(&all);
	if (window)
		sigdelset(&all, SIGWINCH);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(ret, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static struct mt_error *start_threads(struct live_view *v)
{
	sigset_t window;
	sigemptyset(&window);
	sigaddset(&window, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &window, NULL);
	/* A stopped recorder would make the process wait. */
	sigaction(SIGTSTP, &(struct sigaction){ .sa_handler = SIG_IGN }, &v->suspend);
	int rc = start_thread(&v->reader, read_main, v, false);
	if (rc)
		return mt_error_os(rc, "cannot start a thread");
	rc = start_thread(&v->screen, screen_main, v, true);
	if (!rc)
		return NULL;
	atomic_store(&v->stop, true);
	pthread_cond_signal(&v->asked);
	pthread_join(v->reader, NULL);
	return mt_error_os(rc, "cannot start a thread");
}

static struct live_view *make_view(const struct session *s)
{
	struct live_view *v = calloc(1, sizeof(*v));
	char root[64];
	if (!v)
		return NULL;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->asked, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&v->lock, NULL);
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->memory_fd = s->options->in_memory ? s->memory_fd : -1;
	snprintf(root, sizeof(root), "/proc/%d/root", (int)proc_living(s->pid));
	v->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(v->root, sizeof(v->root), "/proc/self/fd/%d", v->root_fd);
	v->no_native = s->options->no_native;
	v->begin_ns = s->armed_ns;
	v->request = (struct data_request){ .no_native = v->no_native, .page = PAGE_TABLE, .view = VIEW_LEAKS,
					    .thread = DATA_ALL_THREADS, .hide = FRAME_INTERPRETER };
	tcgetattr(STDIN_FILENO, &v->modes);
	return v;
}

struct mt_error *live_view_begin(const struct session *s, struct live_view **ret)
{
	char path[64];
	struct live_view *v = make_view(s);
	if (!v)
		return &mt_enomem;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->memory_fd);
	struct mt_error *err = capture_open_growing(s->options->in_memory ? path : s->path, &v->cap);
	if (!err)
		err = start_threads(v);
	if (err) {
		free_view(v);
		return err;
	}
	*ret = v;
	return NULL;
}

static void put_counts(struct live_view *v, const struct session *s, uint64_t now)
{
	struct recorder_counts c;
	recorder_counts(s->recorder, &c);
	struct tui_status *st = &v->status;
	pthread_mutex_lock(&v->lock);
	st->duration_ns = now - v->begin_ns;
	st->events = c.produced;
	st->dropped = c.dropped;
	st->waits = c.waits;
	if (now - v->rate_ns >= RATE_NS) {
		if (st->rate_count == STATUS_RATES)
			memmove(st->rates, st->rates + 1, --st->rate_count * sizeof(st->rates[0]));
		if (v->rate_ns)
			st->rates[st->rate_count++] = (uint64_t)((double)(c.produced - v->rate_events) * 1e9 /
								 (double)(now - v->rate_ns));
		v->rate_ns = now;
		v->rate_events = c.produced;
	}
	pthread_mutex_unlock(&v->lock);
}

bool live_view_turn(struct live_view *v, const struct session *s)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	if (now - v->counts_ns >= COUNTS_NS) {
		v->counts_ns = now;
		put_counts(v, s, now);
	}
	return over(v);
}

void live_view_over(struct live_view *v, const struct session *s)
{
	put_counts(v, s, s->ended_ns);
	pthread_mutex_lock(&v->lock);
	v->status.end = session_end_text(s->end);
	v->ended = true;
	pthread_cond_signal(&v->asked);
	pthread_mutex_unlock(&v->lock);
	wake_screen(v);
}

bool live_view_left(struct live_view *v)
{
	return over(v);
}

void live_view_wait(struct live_view *v)
{
	while (!over(v) && !signals_end_asked())
		nanosleep(&(struct timespec){ 0, WAIT_NS }, NULL);
}

struct mt_error *live_view_end(struct live_view *v, bool *stuck_ret)
{
	atomic_store(&v->stop, true);
	pthread_mutex_lock(&v->lock);
	pthread_cond_signal(&v->asked);
	pthread_mutex_unlock(&v->lock);
	wake_screen(v);
	sigaction(SIGTSTP, &v->suspend, NULL);
	struct timespec until = after(LEAVE_NS);
	if (pthread_clockjoin_np(v->screen, NULL, CLOCK_MONOTONIC, &until)) {
		*stuck_ret = true;
		tcsetattr(STDIN_FILENO, TCSANOW, &v->modes);
		return NULL;
	}
	pthread_join(v->reader, NULL);
	struct mt_error *err = take_ptr(&v->error);
	free_view(v);
	return err;
}
