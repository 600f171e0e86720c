/* call: see call.h. */
#include <stdio.h>  /* snprintf */
#include <stdlib.h> /* free */
#include <string.h> /* strlen */
#include <unistd.h> /* close */

#include "call_inside.h"

void akl_call_news(struct akl_call *c) {
  struct akl_engine *e = c->engine;
  if (!akl_link_alone(&c->news))
    return;
  akl_link_append(&e->news, &c->news);
  akl_engine_wake(e);
}

const char *akl_call_word(enum akl_call_kind kind) {
  static const char *const words[] = {"create", "info",     "poll",  "credits",
                                      "token",  "download", "sleep", "interruption"};
  return words[kind];
}

const char *akl_call_doing(const struct akl_call *c) {
  static const char *const words[] = {
      "creating a job",   "asking about a job",   "following a job", "asking for the balance",
      "fetching a token", "downloading a result", "sleeping",        "waiting for a signal"};
  return words[c->kind];
}

static bool is_over(const struct akl_call *c) {
  return c->state == AKL_OVER;
}

/* {====== Ends ====== */

void akl_call_over(struct akl_call *c) {
  struct akl_engine *e = c->engine;
  bool waited = c->state == AKL_NEEDS_TOKEN;
  c->state = AKL_OVER;
  if (c->kind == AKL_POLL)
    akl_poll_over(c);
  else if (c->kind == AKL_INTERRUPTION)
    akl_signal_over(c);
  akl_timers_unset(&e->timers, &c->timer);
  akl_timers_release(&e->timers);
  akl_link_remove(&c->link);
  akl_link_remove(&c->waiting);
  if (c->transfer != NULL)
    akl_engine_recycle(e, c->transfer);
  c->transfer = NULL;
  if (c->download != NULL && c->error.kind != AKL_KIND_NONE)
    akl_download_abandon(c);
  akl_call_news(c);
  if (waited)
    akl_token_unwanted(c);
}

void akl_call_fail(struct akl_call *c, const struct akl_error *error) {
  akl_error_copy(&c->error, error);
  if (c->kind == AKL_TOKEN)
    akl_call_hand_out_token(c);
  else
    akl_call_over(c);
}

void akl_call_fail_for_memory(struct akl_call *c) {
  struct akl_error error = {0};
  akl_error_set(&error, AKL_CAUSE_OUT_OF_MEMORY, "While %s, memory ran out.", akl_call_doing(c));
  akl_call_fail(c, &error);
  akl_error_clear(&error);
}

static void uncertain(struct akl_error *error, bool is) {
  if (is)
    akl_error_uncertain(error);
}

static void fail_for_credentials(struct akl_call *c) {
  struct akl_error error = {0};
  akl_error_set(&error, AKL_CAUSE_NO_CREDENTIALS, "While %s: there are no credentials.",
                akl_call_doing(c));
  akl_call_fail(c, &error);
  akl_error_clear(&error);
}

void akl_call_cancel(struct akl_call *c, enum akl_cause cause, const char *why) {
  if (c->engine == NULL || is_over(c) || c->state == AKL_NEW)
    return;
  struct akl_error error = {0};
  akl_error_set(&error, cause, "While %s: %s.", akl_call_doing(c), why);
  /* A create that is cut off after its body may have left is a job that nobody knows of. */
  if (c->kind == AKL_CREATE && c->transfer != NULL)
    uncertain(&error, akl_transfer_maybe_sent(c->transfer));
  akl_call_fail(c, &error);
  akl_error_clear(&error);
}

/* ============================================================ }
** {====== Waiting ====== */

static void set_timer(struct akl_call *c, akl_usec at) {
  akl_timers_set(&c->engine->timers, &c->timer, at < c->deadline ? at : c->deadline);
}

void akl_call_pause(struct akl_call *c, akl_usec at) {
  c->state = AKL_PAUSED;
  set_timer(c, at);
}

static void on_timer(struct akl_timer *timer, akl_usec now) {
  struct akl_call *c = AKL_OWNER(timer, struct akl_call, timer);
  if (c->deadline <= now)
    akl_poll_expired(c);
  else if (c->kind == AKL_SLEEP)
    akl_call_over(c);
  else /* paused: in all other states it waits for its deadline only */
    akl_call_begin(c);
}

/* ============================================================ }
** {====== Requests ====== */

static akl_usec limit_of(const struct akl_call *c) {
  return c->kind == AKL_CREATE ? c->settings->create_timeout : c->settings->timeout;
}

/* Write one behind the other into 'out'. False when there is no room. */
static bool join(char *out, size_t room, const char *one, const char *other) {
  size_t m = strlen(one), n = strlen(other);
  if (m + n >= room)
    return false;
  memcpy(out, one, m);
  memcpy(out + m, other, n + 1);
  return true;
}

/* Ask the service, with whatever credentials the client has. */
static bool prepare_request(struct akl_call *c, struct akl_transfer *t) {
  const struct akl_client *client = c->client;
  char url[AKL_URL_MAX + 512], query[AKL_ID_MAX + 64];
  bool fits = join(url, sizeof url, client->base_url, c->to->path) &&
              (c->to->query == NULL || join(query, sizeof query, c->to->query, c->job));
  struct akl_request request = {.url = url,
                                .query = c->to->query == NULL ? NULL : query,
                                .settings = c->settings,
                                .headers = c->kind == AKL_TOKEN ? client->bare
                                           : c->body != NULL    ? client->post
                                                                : client->get,
                                .body = c->body,
                                .body_size = c->body == NULL ? 0 : strlen(c->body),
                                .once = c->kind == AKL_CREATE,
                                .loopback = client->url.reach == AKL_LOOPBACK,
                                .plain = !client->url.https,
                                .limit = limit_of(c)};
  if (!fits || !akl_transfer_prepare(t, &request))
    return false;
  akl_record_request(c, url);
  return true;
}

/* Neither the pace nor a token that is missing stands in the way; or the call now waits for that. */
static bool is_allowed(struct akl_call *c) {
  akl_usec not_before = c->client->pace.not_before;
  if (c->kind == AKL_DOWNLOAD)
    return true;
  if (not_before > c->engine->now && not_before > akl_now()) { /* and then not all at once */
    c->has_turn = false; /* it will be one of many that are due */
    akl_usec spread = (akl_usec)(akl_client_dice(c->client) * 0.5 * (double)AKL_SECOND);
    akl_call_pause(c, not_before + spread);
    return false;
  }
  if (c->kind == AKL_TOKEN || c->client->get != NULL)
    return true;
  if (c->client->auth == AKL_AUTH_PAIR)
    akl_call_wait_for_token(c);
  else
    fail_for_credentials(c);
  return false;
}

static unsigned lane_of(const struct akl_call *c) {
  return c->kind == AKL_DOWNLOAD ? akl_download_lane(c) : akl_engine_lane(c->client->url.host);
}

/* Send the request. */
static void exchange(struct akl_call *c, unsigned lane) {
  struct akl_engine *e = c->engine;
  struct akl_transfer *t = akl_engine_transfer(e);
  bool api = c->kind != AKL_DOWNLOAD;
  c->attempt++;
  if (t == NULL || !(api ? prepare_request(c, t) : akl_download_prepare(c, t))) {
    if (t != NULL)
      akl_engine_recycle(e, t);
    akl_call_fail_for_memory(c);
    return;
  }
  if (!api)
    akl_record_request(c, c->download->url);
  c->state = AKL_EXCHANGE;
  c->transfer = t;
  if (c->kind != AKL_TOKEN)
    c->tokens = c->client->tokens;
  t->owner = c;
  akl_engine_start(e, t, lane);
}

void akl_call_begin(struct akl_call *c) {
  bool was_queued = c->state == AKL_QUEUED;
  if (!is_allowed(c) || (c->kind == AKL_POLL && !was_queued && !akl_poll_may_go(c)))
    return;
  unsigned lane = lane_of(c);
  if (c->deadline != AKL_NEVER)
    set_timer(c, c->deadline);
  if (akl_engine_has_place(c->engine, lane, c->settings->max_connections)) {
    exchange(c, lane);
  } else {
    c->state = AKL_QUEUED;
    akl_engine_queue(c->engine, lane, &c->waiting);
  }
}

bool akl_call_admit(struct akl_link *waiting) {
  struct akl_call *c = AKL_OWNER(waiting, struct akl_call, waiting);
  if (!akl_engine_has_place(c->engine, lane_of(c), c->settings->max_connections))
    return false;
  akl_link_remove(waiting);
  akl_call_begin(c);
  return true;
}

/* ============================================================ }
** {====== Failures ====== */

static bool token_was_refused(const struct akl_call *c, const struct akl_error *error) {
  return error->code == 1101 && !error->maybe_created && c->client->auth == AKL_AUTH_PAIR &&
         !c->renewed && c->kind != AKL_TOKEN; /* of a download no code is read */
}

/* A request failed: repeat it, later or now, or give up. */
static void request_failed(struct akl_call *c, const struct akl_error *error) {
  akl_usec wait;
  if (token_was_refused(c, error)) {
    c->renewed = true;
    akl_client_refused(c->client, c->tokens);
    akl_call_begin(c);
    return;
  }
  if (error->kind == AKL_KIND_RATE_LIMITED)
    akl_pace_refused(&c->client->pace, error->retry_after, akl_now());
  if (c->kind == AKL_POLL) {
    akl_poll_failed(c, error);
    return;
  }
  if (c->kind == AKL_DOWNLOAD)
    akl_download_note_progress(c);
  if (akl_token_for_nobody(c) ||
      !akl_retry_wait(error, c->failures, c->settings->max_retries, akl_client_dice(c->client),
                      &wait) ||
      !akl_budget_take(&c->client->budget, error)) {
    akl_call_fail(c, error);
    return;
  }
  c->failures++;
  akl_record_retry(c, error, wait);
  akl_call_pause(c, akl_now() + wait);
}

/* ============================================================ }
** {====== Answers ====== */

static void request_succeeded(struct akl_call *c) {
  akl_pace_success(&c->client->pace);
  if (c->failures == 0)
    akl_budget_success(&c->client->budget);
  c->failures = 0;
  c->failing_since = 0;
  c->failing_with = NULL;
  c->renewed = false; /* a poll may outlive more than one token */
}

bool akl_call_ended(struct akl_call *c, struct akl_transfer *t) {
  struct akl_error error = {0};
  bool to_be_read = false;
  c->transfer = NULL;
  if (akl_transfer_failed(t, akl_call_doing(c), &error)) {
    uncertain(&error,
              c->kind == AKL_CREATE && akl_create_uncertain(&error, akl_transfer_maybe_sent(t)));
    akl_record_answer(c, t, &error);
    request_failed(c, &error);
  } else if (c->kind == AKL_DOWNLOAD) {
    bool fine = akl_download_ended(c, t, &error);
    akl_record_answer(c, t, &error);
    if (fine)
      akl_call_over(c);
    else if (error.kind == AKL_KIND_NONE)
      akl_call_begin(c);
    else
      request_failed(c, &error);
  } else if (c->kind == AKL_POLL && akl_poll_unchanged(c, t)) {
    akl_record_answer(c, t, &error);
    request_succeeded(c);
    akl_poll_again(c);
  } else {
    to_be_read = true;
  }
  akl_error_clear(&error);
  return to_be_read;
}

static bool token_came(struct akl_call *c, const struct akl_answer *answer) {
  /* A token of credentials that were replaced meanwhile is not kept; who waited begins anew. */
  if (c->tokens == c->client->tokens && !akl_client_token(c->client, answer->token))
    akl_call_fail_for_memory(c);
  else
    akl_call_hand_out_token(c);
  return false;
}

bool akl_call_answered(struct akl_call *c, struct akl_transfer *t, struct akl_answer *answer) {
  struct akl_error *error = &answer->error;
  if (error->kind != AKL_KIND_NONE) {
    uncertain(error,
              c->kind == AKL_CREATE && (answer->id[0] != '\0' ||
                                        akl_create_uncertain(error, akl_transfer_maybe_sent(t))));
    akl_record_answer(c, t, error);
    if (c->kind == AKL_CREATE && answer->id[0] != '\0')
      memcpy(c->job, answer->id, sizeof answer->id);
    request_failed(c, error);
    return false;
  }
  akl_record_answer(c, t, error);
  request_succeeded(c);
  if (c->kind == AKL_POLL)
    return akl_polled(c, t, answer);
  if (c->kind == AKL_TOKEN)
    return token_came(c, answer);
  akl_call_over(c);
  return true;
}

/* ============================================================ }
** {====== Life ====== */

bool akl_call_init(struct akl_call *c, enum akl_call_kind kind,
                   const struct akl_call_parts *parts) {
  c->kind = (unsigned char)kind;
  c->timer.fire = on_timer;
  c->deadline = AKL_NEVER;
  akl_link_init(&c->link);
  akl_link_init(&c->news);
  akl_link_init(&c->waiting);
  c->to = parts->to;
  c->job = parts->job;
  c->body = parts->body;
  c->download = parts->download;
  if (parts->client != NULL) {
    c->client = akl_client_ref(parts->client);
    c->settings = akl_settings_ref(parts->settings);
  }
  if (akl_timers_reserve(&parts->engine->timers)) {
    c->engine = parts->engine;
    return true;
  }
  akl_call_free(c);
  return false;
}

void akl_call_start(struct akl_call *c, akl_usec wait) {
  akl_usec now = akl_now();
  akl_link_append(&c->engine->calls, &c->link);
  if (c->kind == AKL_POLL)
    akl_poll_started(c, now);
  /* A poll takes its turn in the next step: then it is known how many others are due. */
  if (c->kind == AKL_SLEEP || c->kind == AKL_POLL) {
    akl_call_pause(c, now + wait);
    akl_engine_wake(c->engine);
  } else if (c->kind == AKL_INTERRUPTION) {
    akl_signal_await(c);
  } else {
    akl_call_begin(c);
  }
}

/* In a forked child everything that is under way is the parent's: forget it without touching
** connections or files. */
static void disown(struct akl_call *c) {
  c->transfer = NULL;
  if (c->download != NULL) {
    (void)close(c->download->file.fd);
    c->download->file.fd = -1;
  }
}

void akl_calls_close(struct akl_engine *e) {
  struct akl_link *l;
  bool foreign = akl_engine_foreign(e);
  const char *why =
      foreign ? "it was started by another process, before a fork" : "the engine was closed";
  while ((l = akl_link_first(&e->calls)) != NULL) {
    struct akl_call *c = AKL_OWNER(l, struct akl_call, link);
    if (foreign)
      disown(c);
    akl_call_cancel(c, AKL_CAUSE_CLOSED, why);
  }
  while (akl_calls_news(e) != NULL)
    continue;
}

struct akl_call *akl_calls_news(struct akl_engine *e) {
  struct akl_link *l = akl_link_first(&e->news);
  if (l == NULL)
    return NULL;
  struct akl_call *c = AKL_OWNER(l, struct akl_call, news);
  akl_link_remove(l);
  if (is_over(c))
    c->engine = NULL; /* it needs nothing of the engine any more */
  return c;
}

void akl_call_free(struct akl_call *c) {
  if (c->engine != NULL && akl_engine_foreign(c->engine))
    akl_calls_close(c->engine);
  if (c->engine != NULL) {
    if (c->state == AKL_NEW) {
      akl_timers_release(&c->engine->timers);
      c->state = AKL_OVER;
    }
    akl_call_cancel(c, AKL_CAUSE_CANCELLED, "nobody waits for it any more");
    akl_link_remove(&c->news);
    c->engine = NULL;
  }
  struct akl_event *event;
  while ((event = akl_call_event(c)) != NULL)
    free(event);
  akl_wipe_string(c->body);
  akl_download_free(c->download, false);
  c->body = NULL;
  c->download = NULL;
  akl_error_clear(&c->error);
  akl_settings_unref(c->settings);
  akl_client_unref(c->client);
  c->settings = NULL;
  c->client = NULL;
}

/* ============================================================ } */
