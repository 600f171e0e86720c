/*
** timers: the heap of deadlines against the simplest thing that could do its work, an unsorted
** array; and the arithmetic of waits, which has to stay within what the settings say.
**
** An input is a list of instructions of two or three bytes each: what to do, and with which timer.
*/
#include <math.h>   /* isfinite */
#include <stdlib.h> /* free */
#include <string.h> /* memset */

#include "harness.h"
#include "policy.h"
#include "timers.h"

enum { TIMERS = 32 };

/* The heap, and beside it the model: when each timer is due. */
static struct akl_timers heap;
static struct akl_timer timers[TIMERS];
static akl_usec model[TIMERS]; /* AKL_NEVER: not set */
static akl_usec last_fired;
static unsigned fired, again; /* again: how many may still set themselves anew in this run */
static bool in_order;

static unsigned number_of(const struct akl_timer *t) {
  return (unsigned)(t - timers);
}

/* {====== The heap ====== */

static akl_usec earliest(void) {
  akl_usec least = AKL_NEVER;
  for (unsigned i = 0; i < TIMERS; i++)
    if (model[i] < least)
      least = model[i];
  return least;
}

static void check_heap(void) {
  size_t set = 0;
  for (unsigned i = 0; i < TIMERS; i++) {
    fuzz_must((timers[i].slot != 0) == (model[i] != AKL_NEVER), "timer %u is set if it was", i);
    if (timers[i].slot == 0)
      continue;
    set++;
    fuzz_must(timers[i].slot <= heap.count && heap.heap[timers[i].slot - 1] == &timers[i],
              "timer %u knows its place", i);
    fuzz_must(timers[i].at == model[i], "timer %u knows its moment", i);
  }
  fuzz_must(set == heap.count, "the heap holds what was set and nothing else");
  fuzz_must(akl_timers_next(&heap) == earliest(), "the earliest deadline comes first");
}

static void on_fire(struct akl_timer *t, akl_usec now) {
  unsigned i = number_of(t);
  fuzz_must(t->slot == 0, "a timer is unset before it fires");
  fuzz_must(model[i] <= now, "timer %u does not fire early", i);
  fuzz_must(!in_order || model[i] >= last_fired, "timers fire in order");
  last_fired = model[i];
  model[i] = AKL_NEVER;
  fired++;
  if (again > 0 && i % 3 == 0) {
    again--;
    model[i] = now - (i % 2);
    akl_timers_set(&heap, t, model[i]);
  }
}

static void run(akl_usec now, unsigned may_set_again) {
  unsigned due = 0;
  for (unsigned i = 0; i < TIMERS; i++)
    due += model[i] <= now;
  fired = 0;
  again = may_set_again;
  in_order = again == 0; /* one that sets itself anew may come before those that were there */
  last_fired = INT64_MIN;
  akl_timers_run(&heap, now);
  fuzz_must(may_set_again > 0 || fired == due, "all that is due fires: %u of %u", fired, due);
  fuzz_must(may_set_again > 0 || earliest() > now, "nothing that is due is left");
}

static void set(unsigned i, akl_usec at) {
  model[i] = at;
  akl_timers_set(&heap, &timers[i], at);
}

static void unset(unsigned i) {
  model[i] = AKL_NEVER;
  akl_timers_unset(&heap, &timers[i]);
}

/* ============================================================ }
** {====== Waits ====== */

static double dice_from(struct fuzz_input *in) {
  return (double)fuzz_byte(in) / 256;
}

/* Options as options.lua lets them through. */
static struct akl_schedule schedule_from(struct fuzz_input *in) {
  struct akl_schedule s = {.first = akl_seconds(fuzz_double(in)),
                           .max = akl_seconds(fuzz_double(in)),
                           .factor = fuzz_double(in),
                           .jitter = dice_from(in)};
  if (!(s.factor >= 1 && isfinite(s.factor)))
    s.factor = 1.4;
  return s;
}

static akl_usec any_time(struct fuzz_input *in) {
  return akl_seconds(fuzz_double(in));
}

static void check_poll_wait(struct fuzz_input *in) {
  const struct akl_schedule s = schedule_from(in);
  struct akl_pace pace = {0};
  akl_usec now = any_time(in), age = any_time(in);
  for (unsigned refusals = fuzz_below(in, 8); refusals > 0; refusals--)
    akl_pace_refused(&pace, fuzz_double(in), now);
  for (unsigned successes = fuzz_below(in, 8); successes > 0; successes--)
    akl_pace_success(&pace);
  fuzz_must(pace.slowdown >= 0 && pace.slowdown <= 7, "the pace slows down 8 times at most");
  fuzz_must(pace.not_before == 0 ||
                (pace.not_before >= now && pace.not_before <= now + 60 * AKL_SECOND),
            "a pause of all calls lasts a minute at most");

  akl_usec least = s.first < s.max ? s.first : s.max;
  double slow = 1 + pace.slowdown, rounding = 1 + 1e-12 * (double)(s.first + s.max);
  akl_usec wait = akl_poll_wait(&s, &pace, age, dice_from(in));
  fuzz_must((double)wait >= (double)least * (1 - s.jitter) * slow - rounding,
            "no poll comes early");
  fuzz_must((double)wait <= (double)s.max * (1 + s.jitter) * slow + rounding, "no poll comes late");
  wait = akl_poll_first(&s, &pace, age, dice_from(in));
  fuzz_must(wait >= 0 && (double)wait <= ((double)s.max + (double)s.first) * slow + rounding,
            "the first poll comes in time");
}

/* Jobs come and go, ask more often or less, and take their turns; whatever they do, nobody is sent
** back in time, and what they ask for in all is the sum of what each asks for. */
static void check_pace(struct fuzz_input *in) {
  enum { JOBS = 8 };
  struct akl_pace pace = {0};
  uint32_t shares[JOBS] = {0};
  bool joined[JOBS] = {false};
  akl_usec now = 0;
  for (size_t left = in->left < 256 ? in->left : 256; left > 0; left--) {
    uint8_t what = fuzz_byte(in);
    unsigned i = what % JOBS;
    uint64_t sum = 0;
    if (what < 128 && joined[i]) {
      now += (akl_usec)fuzz_byte(in) * AKL_SECOND / 16;
      fuzz_must(akl_pace_turn(&pace, now) >= now, "a turn is not in the past");
    } else if (what < 192 && joined[i]) {
      akl_pace_share(&pace, &shares[i], any_time(in));
    } else if (joined[i]) {
      akl_pace_leave(&pace, &shares[i]);
      joined[i] = false;
    } else {
      akl_pace_join(&pace, &shares[i], any_time(in));
      joined[i] = true;
    }
    unsigned jobs = 0;
    for (unsigned j = 0; j < JOBS; j++) {
      jobs += joined[j];
      sum += shares[j];
    }
    fuzz_must(pace.rate == sum && pace.jobs == jobs, "the rate is the sum of all shares");
    fuzz_must(pace.level >= 0 && pace.level <= JOBS + 1, "nobody has two turns at once");
  }
}

static void check_retry_wait(struct fuzz_input *in) {
  struct akl_error error = {.kind = AKL_KIND_SERVER,
                            .retryable = fuzz_byte(in) % 4 != 0,
                            .maybe_created = fuzz_byte(in) % 4 == 0,
                            .retry_after = fuzz_double(in)};
  unsigned retry = fuzz_below(in, 128), most = fuzz_below(in, 101);
  akl_usec wait = -1;
  if (!(error.retry_after > 0 && isfinite(error.retry_after)))
    error.retry_after = 0;
  bool may = akl_retry_wait(&error, retry, most, dice_from(in), &wait);
  fuzz_must(!may || (error.retryable && !error.maybe_created && retry < most),
            "only what may be repeated is, and not too often");
  fuzz_must(!may || (wait >= 0 && wait <= 60 * AKL_SECOND), "no retry waits longer than a minute");
  fuzz_must(!may || wait >= akl_seconds(error.retry_after), "Retry-After is obeyed");
}

static void check_budget(struct fuzz_input *in) {
  struct akl_budget budget = {0};
  struct akl_error error = {0};
  int balance = 500; /* the rules anew: 5 a retry, 10 after a timeout, 1 back for a success */
  for (size_t left = in->left < 512 ? in->left : 512; left > 0; left--) {
    uint8_t what = fuzz_byte(in);
    int cost = what % 2 == 0 ? 5 : 10;
    error.kind = what % 2 == 0 ? AKL_KIND_SERVER : AKL_KIND_TIMEOUT;
    if (what % 4 == 3) {
      akl_budget_success(&budget);
      balance += balance < 500;
    } else {
      bool taken = akl_budget_take(&budget, &error);
      fuzz_must(taken == (balance >= cost), "a retry is paid for: %d left", balance);
      balance -= taken ? cost : 0;
    }
  }
}

/* ============================================================ } */

static void instruct(struct fuzz_input *in) {
  uint8_t what = fuzz_byte(in);
  unsigned i = fuzz_below(in, TIMERS);
  switch (what % 8) {
  case 0:
  case 1:
  case 2:
    set(i, fuzz_byte(in));
    break;
  case 3:
    set(i, akl_seconds(fuzz_double(in)));
    break;
  case 4:
    unset(i);
    break;
  case 5:
    run(fuzz_byte(in), fuzz_byte(in) % 8);
    break;
  case 6:
    check_poll_wait(in);
    check_retry_wait(in);
    break;
  default:
    check_budget(in);
    check_pace(in);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct fuzz_input in = {bytes, size};
  memset(timers, 0, sizeof timers);
  for (unsigned i = 0; i < TIMERS; i++) {
    timers[i].fire = on_fire;
    model[i] = AKL_NEVER;
    fuzz_must(akl_timers_reserve(&heap), "memory suffices");
  }
  while (in.left > 0) {
    instruct(&in);
    check_heap();
  }
  for (unsigned i = 0; i < TIMERS; i++) {
    unset(i);
    akl_timers_release(&heap);
  }
  fuzz_must(heap.count == 0 && heap.reserved == 0, "what was set is unset");
  akl_timers_free(&heap);
  return 0;
}
