/* call, polls: following a job to its end; see call_inside.h. */
#include <string.h> /* memcpy */

#include "call_inside.h"

#define PATIENCE (120 * AKL_SECOND) /* how long a poll endures failures in a row */

static inline void stir(uint64_t out[2], uint64_t word) {
  out[0] = (out[0] ^ word) * 0xFF51AFD7ED558CCDU;
  out[0] ^= out[0] >> 32;
  out[1] = (out[1] + word) * 0xC4CEB9FE1A85EC53U;
  out[1] ^= out[1] >> 29;
}

/* Two multiplications for eight bytes: enough to tell an answer from the last one of the same job,
** with 128 bits against chance. */
static void digest(const char *bytes, size_t size, uint64_t out[2]) {
  uint64_t word;
  out[0] = 0x9E3779B97F4A7C15U ^ size;
  out[1] = 0xC2B2AE3D27D4EB4FU + size;
  size_t i = 0;
  for (; i + sizeof word <= size; i += sizeof word) {
    memcpy(&word, bytes + i, sizeof word);
    stir(out, word);
  }
  word = 0;
  if (i < size) /* 'bytes' may be NULL when there are none */
    memcpy(&word, bytes + i, size - i);
  stir(out, word);
}

void akl_poll_expired(struct akl_call *c) {
  struct akl_error error = {0};
  akl_error_set(&error, AKL_CAUSE_TIMEOUT_WAIT,
                "Job %s was not done within %.3g s; its last status was %s%s%s.", c->job,
                (double)c->settings->wait_timeout / (double)AKL_SECOND,
                akl_status_word((enum akl_status)c->status),
                c->failing_with == NULL ? "" : ", and the last request failed with ",
                c->failing_with == NULL ? "" : c->failing_with);
  akl_call_fail(c, &error);
  akl_error_clear(&error);
}

void akl_poll_started(struct akl_call *c, akl_usec now) {
  c->deadline = now + c->settings->wait_timeout;
  akl_pace_join(&c->client->pace, &c->share, c->settings->poll.first);
}

void akl_poll_over(struct akl_call *c) {
  akl_pace_leave(&c->client->pace, &c->share);
}

/* The wait before the next request, as the schedule and the pace have it. */
static akl_usec next_wait(struct akl_call *c, akl_usec now) {
  akl_usec began = c->deadline - c->settings->wait_timeout;
  akl_usec wait =
      akl_poll_wait(&c->settings->poll, &c->client->pace, now - began, akl_client_dice(c->client));
  akl_pace_share(&c->client->pace, &c->share, wait);
  return wait;
}

void akl_poll_again(struct akl_call *c) {
  akl_usec now = akl_now();
  akl_call_pause(c, now + next_wait(c, now));
}

void akl_call_hurry(struct akl_call *c) {
  if (c->kind != AKL_POLL || c->state != AKL_PAUSED || c->failures > 0 || c->has_turn)
    return;
  akl_call_pause(c, akl_now());
  akl_engine_wake(c->engine);
}

bool akl_poll_may_go(struct akl_call *c) {
  akl_usec now = c->engine->now;
  akl_usec turn = c->has_turn ? now : akl_pace_turn(&c->client->pace, now);
  c->has_turn = turn > now;
  if (c->has_turn)
    akl_call_pause(c, turn);
  return !c->has_turn;
}

bool akl_poll_unchanged(const struct akl_call *c, const struct akl_transfer *t) {
  uint64_t seen[2];
  digest(t->answer.data, t->answer.size, seen);
  return t->status == 200 && c->learnt && seen[0] == c->seen[0] && seen[1] == c->seen[1];
}

void akl_poll_failed(struct akl_call *c, const struct akl_error *error) {
  akl_usec now = akl_now(), wait;
  if (c->failures++ == 0)
    c->failing_since = now;
  c->failing_with = error->name;
  bool enough = c->failures > c->settings->max_retries &&
                (c->settings->max_retries == 0 || now - c->failing_since >= PATIENCE);
  if (enough || !error->retryable) {
    akl_call_fail(c, error);
    return;
  }
  wait = next_wait(c, now);
  if (wait < akl_seconds(error->retry_after))
    wait = akl_seconds(error->retry_after);
  akl_record_retry(c, error, wait);
  akl_call_pause(c, now + wait);
}

bool akl_polled(struct akl_call *c, const struct akl_transfer *t, const struct akl_answer *a) {
  bool news = a->status != AKL_UNKNOWN && a->status != (enum akl_status)c->status;
  if (!c->learnt || a->number != c->number)
    akl_record_status(c, a->number);
  c->learnt = true;
  c->number = a->number;
  digest(t->answer.data, t->answer.size, c->seen);
  if (a->status != AKL_UNKNOWN)
    c->status = (unsigned char)a->status;
  /* Only completed and failed are ends; whatever else the service may say, the job goes on. */
  if (a->status == AKL_COMPLETED || a->status == AKL_FAILED)
    akl_call_over(c);
  else
    akl_poll_again(c);
  if (news)
    akl_call_news(c);
  return news;
}
