/* engine: see engine.h. */
#include "engine.h"

#include <stdlib.h> /* calloc */

enum {
  CONNECTIONS_KEPT = 256, /* idle connections kept open, if nobody asks for more at once */
  STREAMS_MAX = 100, /* exchanges at once on one HTTP/2 connection; every server allows these */
  SLOWEST = 16,      /* bytes a second: a download that is slower has stalled */
};

/* {====== Callbacks of libcurl: they note, they do not act ====== */

/* From CURLMOPT_TIMERFUNCTION(3): "Do not call libcurl from within the callback". */
static int on_timer(CURLM *multi, long milliseconds, void *user) {
  struct akl_engine *e = user;
  (void)multi;
  e->curl_at = milliseconds < 0 ? AKL_NEVER : akl_now() + (akl_usec)milliseconds * 1000;
  return 0;
}

/* 'easy' may be one of libcurl's own, so it is not looked at. -1 would end every transfer, which is
** right: a socket that nobody watches would hang until its deadline. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *mine) {
  struct akl_engine *e = user;
  (void)easy;
  (void)mine;
  int events = 0;
  if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
    events |= AKL_READ;
  if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
    events |= AKL_WRITE;
  return akl_poller_want(&e->poller, fd, events) ? 0 : -1;
}

/* ============================================================ }
** {====== Life ====== */

static bool set_up_multi(struct akl_engine *e) {
  e->multi = curl_multi_init();
  return e->multi != NULL &&
         curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
         curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e) == CURLM_OK &&
         curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
         curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e) == CURLM_OK &&
         curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)e->connections_kept) == CURLM_OK;
}

struct akl_engine *akl_engine_new(bool (*admit)(struct akl_link *who)) {
  struct akl_engine *e = calloc(1, sizeof *e);
  if (e == NULL)
    return NULL;
  akl_process_note(&e->maker);
  e->now = akl_now();
  e->admit = admit;
  e->curl_at = AKL_NEVER;
  e->connections_kept = CONNECTIONS_KEPT;
  akl_link_init(&e->idle);
  akl_link_init(&e->running);
  akl_link_init(&e->ended);
  akl_link_init(&e->calls);
  akl_link_init(&e->news);
  for (unsigned i = 0; i < AKL_LANES; i++)
    akl_link_init(&e->lanes[i].queue);
  if (akl_poller_open(&e->poller) && set_up_multi(e))
    return e;
  akl_engine_free(e);
  return NULL;
}

/* NULL is fine: libcurl looks for itself. */
static void free_multi(CURLM *multi) {
  (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, NULL);
  (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, NULL);
  (void)curl_multi_cleanup(multi);
}

/* After memory ran out inside libcurl (seen with 7.88), its multi handle may keep connections that
** nobody closes, which PIPEWAIT then waits for, and sockets whose entry crashes the next user of the
** same number. So nothing of it is used again once nothing runs on it. False if there is no memory
** for a new one either: the old one stays, to be freed, and whoever needs one has to ask again. */
static bool renew_multi(struct akl_engine *e) {
  CURLM *old = e->multi;
  e->curl_at = AKL_NEVER;
  e->tainted = !set_up_multi(e);
  if (e->tainted) {
    free_multi(e->multi);
    e->multi = old;
  } else {
    free_multi(old);
  }
  return !e->tainted;
}

/* Is there a multi handle that may be used? */
static bool has_multi(struct akl_engine *e) {
  return !e->tainted || !akl_link_alone(&e->running) || renew_multi(e);
}

static void free_transfers(struct akl_engine *e, struct akl_link *ring) {
  struct akl_link *l;
  while ((l = akl_link_first(ring)) != NULL) {
    struct akl_transfer *t = AKL_OWNER(l, struct akl_transfer, link);
    akl_link_remove(l);
    akl_timers_unset(&e->timers, &t->timer);
    if (ring == &e->running)
      (void)curl_multi_remove_handle(e->multi, t->easy);
    akl_transfer_free(t);
  }
}

/* In the right order: handles, then the multi handle without its callbacks, then the poller. */
void akl_engine_free(struct akl_engine *e) {
  if (!akl_engine_foreign(e)) {
    free_transfers(e, &e->running);
    free_transfers(e, &e->ended);
    free_transfers(e, &e->idle);
    free_multi(e->multi);
    akl_timers_free(&e->timers);
    akl_poller_close(&e->poller);
    akl_process_forget(&e->maker);
    free(e);
  } else {
    akl_poller_close(&e->poller); /* and the rest stays: it is the parent's */
  }
}

bool akl_engine_foreign(const struct akl_engine *e) {
  return akl_process_foreign(&e->maker);
}

/* ============================================================ }
** {====== Transfers ====== */

static void end(struct akl_engine *e, struct akl_transfer *t, CURLcode result) {
  long status = 0, version = 0;
  struct akl_lane *lane = &e->lanes[t->lane];
  if (result == CURLE_OUT_OF_MEMORY) {
    /* It may have left a connection that nobody opens any more, and PIPEWAIT would have others wait
    ** for it. Those are looked at again when the handle is removed. */
    e->tainted = true;
    (void)curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
  }
  (void)curl_multi_remove_handle(e->multi, t->easy);
  (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  (void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
  t->result = result;
  /* libcurl takes any number for one behind "HTTP/2". */
  t->status = status >= 100 && status <= 999 ? (int)status : 0;
  /* libcurl 7.88 keeps a new connection over which the request could not be sent, and lets all that
  ** come later wait, without end, for what it turns out to speak (CURLOPT_PIPEWAIT). */
  if (result == CURLE_SEND_ERROR)
    lane->fresh = true;
  if (version != 0)
    lane->multiplexed = version >= CURL_HTTP_VERSION_2_0;
  lane->running--;
  akl_timers_unset(&e->timers, &t->timer);
  akl_link_remove(&t->link);
  akl_link_append(&e->ended, &t->link);
}

/* libcurl or the poller refused to work: no transfer under way can be trusted to end by itself. */
static void end_all(struct akl_engine *e) {
  struct akl_link *l;
  while ((l = akl_link_first(&e->running)) != NULL)
    end(e, AKL_OWNER(l, struct akl_transfer, link), CURLE_OUT_OF_MEMORY);
  (void)renew_multi(e);
}

/* Our own deadline, since libcurl's can be lost when memory runs out. */
static void on_limit(struct akl_timer *timer, akl_usec now) {
  struct akl_transfer *t = AKL_OWNER(timer, struct akl_transfer, timer);
  struct akl_engine *e = AKL_OWNER(t->poller, struct akl_engine, poller);
  if (t->limit == AKL_NEVER) {
    akl_usec window = t->settings->stall_timeout;
    int64_t least = SLOWEST * window / AKL_SECOND;
    if (t->received > t->counted && t->received - t->counted >= least) {
      t->counted = t->received;
      akl_timers_set(&e->timers, timer, now + window);
      return;
    }
    t->stalled = true;
  }
  t->timed_out = true;
  end(e, t, CURLE_OPERATION_TIMEDOUT);
}

struct akl_transfer *akl_engine_transfer(struct akl_engine *e) {
  struct akl_link *l = akl_link_first(&e->idle);
  if (l != NULL) {
    akl_link_remove(l);
    e->idle_count--;
    return AKL_OWNER(l, struct akl_transfer, link);
  }
  if (!akl_timers_reserve(&e->timers))
    return NULL;
  struct akl_transfer *t = akl_transfer_new(&e->poller, &e->now);
  if (t == NULL) {
    akl_timers_release(&e->timers);
    return NULL;
  }
  t->timer.fire = on_limit;
  akl_transfer_reset(t);
  e->handles++;
  return t;
}

unsigned akl_engine_lane(const char *host) {
  unsigned hash = 2166136261U;
  for (; *host != '\0'; host++)
    hash = (hash ^ (unsigned char)*host) * 16777619U;
  return hash % (AKL_LANES / 2);
}

bool akl_engine_has_place(const struct akl_engine *e, unsigned lane, unsigned most) {
  const struct akl_lane *l = &e->lanes[lane];
  if (l->multiplexed && most > STREAMS_MAX)
    most = STREAMS_MAX;
  return l->running < most && (l->admitting || akl_link_alone(&l->queue));
}

void akl_engine_queue(struct akl_engine *e, unsigned lane, struct akl_link *who) {
  akl_link_append(&e->lanes[lane].queue, who);
}

/* A place may have become free. Letting one in may take back a transfer and so lead here again; then
** the loop that runs goes on, however many wait. */
static void admit_waiting(struct akl_engine *e, struct akl_lane *lane) {
  struct akl_link *first;
  if (lane->admitting)
    return;
  lane->admitting = true;
  do
    first = akl_link_first(&lane->queue);
  while (first != NULL && e->admit(first));
  lane->admitting = false;
}

/* Hand a transfer to libcurl. It may end inside this very call; then it stands in libcurl's list of
** messages, and because its timer has been set to "now" the next turn will look there. */
static void launch(struct akl_engine *e, struct akl_transfer *t) {
  bool ready = has_multi(e);
  if (t->settings->max_connections > e->connections_kept) {
    e->connections_kept = t->settings->max_connections;
    (void)curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)e->connections_kept);
  }
  struct akl_lane *lane = &e->lanes[t->lane];
  if (lane->fresh)
    lane->fresh = !akl_transfer_connect(t);
  lane->running++;
  e->now = akl_now(); /* the program may have been away for long since the last turn */
  t->started = e->now;
  akl_link_append(&e->running, &t->link);
  akl_timers_set(&e->timers, &t->timer,
                 e->now + (t->limit == AKL_NEVER ? t->settings->stall_timeout : t->limit));
  if (!ready || curl_multi_add_handle(e->multi, t->easy) != CURLM_OK)
    end(e, t, CURLE_OUT_OF_MEMORY);
}

void akl_engine_start(struct akl_engine *e, struct akl_transfer *t, unsigned lane) {
  t->lane = lane;
  launch(e, t);
  akl_engine_wake(e);
}

struct akl_transfer *akl_engine_ended(struct akl_engine *e) {
  struct akl_link *l = akl_link_first(&e->ended);
  if (l == NULL)
    return NULL;
  akl_link_remove(l);
  return AKL_OWNER(l, struct akl_transfer, link);
}

void akl_engine_recycle(struct akl_engine *e, struct akl_transfer *t) {
  struct akl_lane *lane = &e->lanes[t->lane];
  if (t->timer.slot != 0) /* running */
    end(e, t, CURLE_ABORTED_BY_CALLBACK);
  /* libcurl 7.88 leaves a handle whose exchange failed at a redirect with its receive buffer, and
  ** then refuses to set it up anew; so only a handle that ended well is used again. */
  bool sound = t->result == CURLE_OK && t->settings != NULL;
  bool wanted = sound && e->idle_count < t->settings->max_connections;
  akl_link_remove(&t->link);
  akl_transfer_reset(t);
  if (wanted) {
    akl_link_prepend(&e->idle, &t->link);
    e->idle_count++;
  } else {
    akl_transfer_free(t);
    akl_timers_release(&e->timers);
    e->handles--;
  }
  admit_waiting(e, lane);
}

/* ============================================================ }
** {====== A turn ====== */

static void reap(struct akl_engine *e) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(e->multi, &left)) != NULL) {
    struct akl_transfer *t = NULL;
    CURLcode result = message->data.result;
    (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)(void *)&t);
    if (t != NULL && message->msg == CURLMSG_DONE)
      end(e, t, result);
  }
}

/* Let libcurl do what its timer asked for. A timer of no length is run here at once instead of
** being armed, and so may the next few that follow from it. */
static void run_curl(struct akl_engine *e) {
  int running;
  for (int turns = 0; e->curl_at <= e->now && turns < 16 && has_multi(e); turns++) {
    e->curl_at = AKL_NEVER;
    if (curl_multi_socket_action(e->multi, CURL_SOCKET_TIMEOUT, 0, &running) != CURLM_OK)
      end_all(e);
    reap(e);
  }
}

static void run_sockets(struct akl_engine *e, const struct akl_ready *ready, int count) {
  int running;
  for (int i = 0; i < count && has_multi(e); i++) {
    int events = (ready[i].events & AKL_READ ? CURL_CSELECT_IN : 0) |
                 (ready[i].events & AKL_WRITE ? CURL_CSELECT_OUT : 0) |
                 (ready[i].events & AKL_ERROR ? CURL_CSELECT_ERR : 0);
    if (curl_multi_socket_action(e->multi, ready[i].fd, events, &running) != CURLM_OK)
      end_all(e);
  }
  reap(e);
}

static bool has_something(const struct akl_engine *e) {
  return !akl_link_alone(&e->ended) || !akl_link_alone(&e->news);
}

/* Look at the sockets, waiting up to 'timeout' for news of them. */
static bool look(struct akl_engine *e, akl_usec timeout) {
  struct akl_ready ready[AKL_READY_MAX];
  int count = akl_poller_settle(&e->poller) ? akl_poller_wait(&e->poller, timeout, ready) : -1;
  if (count < 0) {
    end_all(e);
    return false;
  }
  e->now = akl_now();
  if (count > 0)
    run_sockets(e, ready, count);
  return true;
}

static void work(struct akl_engine *e) {
  e->now = akl_now();
  run_curl(e);
  akl_timers_run(&e->timers, e->now);
}

akl_usec akl_engine_timeout(const struct akl_engine *e) {
  akl_usec next = akl_timers_next(&e->timers);
  if (has_something(e))
    return 0;
  if (e->curl_at < next)
    next = e->curl_at;
  if (next == AKL_NEVER)
    return AKL_NEVER;
  akl_usec now = akl_now();
  return next > now ? next - now : 0;
}

void akl_engine_step(struct akl_engine *e, akl_usec timeout) {
  e->now = akl_now();
  /* The program may have been away for longer than a limit: what came meanwhile came in time. */
  if (akl_timers_next(&e->timers) <= e->now)
    (void)look(e, 0);
  work(e);
  akl_usec next = akl_engine_timeout(e);
  bool silent = has_something(e) && akl_link_alone(&e->running); /* no socket can have news */
  if (!silent && look(e, next < timeout ? next : timeout))
    work(e);
  if (e->tainted && akl_link_alone(&e->running))
    (void)renew_multi(e);
}

void akl_engine_settle(struct akl_engine *e) {
  if (!e->watched)
    return;
  akl_usec next = akl_timers_next(&e->timers);
  if (e->curl_at < next)
    next = e->curl_at;
  bool fine = akl_poller_settle(&e->poller);
  if (has_something(e) || next <= e->now)
    fine = akl_poller_wake(&e->poller) && fine;
  else
    fine = akl_poller_arm(&e->poller, next) && fine;
  if (!fine) {
    end_all(e);
    (void)akl_poller_wake(&e->poller); /* without a timer, waking again and again is what is left */
  }
}

void akl_engine_wake(struct akl_engine *e) {
  if (e->watched)
    (void)akl_poller_wake(&e->poller);
}

int akl_engine_pollfd(struct akl_engine *e) {
  e->watched = true;
  akl_engine_settle(e);
  return e->poller.set;
}

/* ============================================================ } */
