/*
** policy: what policy.c promises about retries, waits and turns, tried with every number that matters
** or with a million by chance.
**
**   policy [SEED]
**
** Prints a table: what was tried, how often, and the first case that breaks the promise, if any.
** The exit code says whether one did. The same seed gives the same cases.
*/
#include <stdio.h>
#include <stdlib.h>

#include "policy.h"

enum { MILLION = 1000000, RETRIES = 3 };

static bool all_kept = true;

/* {====== Chance ====== */

static uint64_t seed;

static double dice(void) { /* splitmix64, as in client.c */
  uint64_t z = seed += 0x9E3779B97F4A7C15U;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static double between(double least, double most) {
  return least + (most - least) * dice();
}

static struct akl_error failure(enum akl_kind kind, double retry_after) {
  return (struct akl_error){.kind = kind, .retryable = true, .retry_after = retry_after};
}

/* ============================================================ }
** {====== The table ====== */

static const char *promise; /* that is being tried */
static long cases, broken;
static char counterexample[160];

static void begin(const char *what) {
  promise = what;
  cases = broken = 0;
}

/* One case. What it is about is kept if it is the first that breaks the promise. */
#define TRY(kept, ...)                                                                             \
  do {                                                                                             \
    cases++;                                                                                       \
    if (!(kept) && broken++ == 0)                                                                  \
      (void)snprintf(counterexample, sizeof counterexample, __VA_ARGS__);                          \
  } while (0)

static void end(void) {
  printf("%-84s %8ld  %s\n", promise, cases, broken == 0 ? "kept" : "BROKEN");
  if (broken > 0)
    printf("    %ld times, first: %s\n", broken, counterexample);
  all_kept = all_kept && broken == 0;
}

/* ============================================================ }
** {====== Retries ====== */

/* One request as call.c makes it, of which each attempt fails by chance; returns how many it took. */
static unsigned attempts(struct akl_budget *budget, double fails, enum akl_kind kind) {
  struct akl_error error = failure(kind, 0);
  for (unsigned failures = 0;; failures++) {
    akl_usec wait;
    if (dice() >= fails) {
      if (failures == 0)
        akl_budget_success(budget);
      return failures + 1;
    }
    if (!akl_retry_wait(&error, failures, RETRIES, dice(), &wait) ||
        !akl_budget_take(budget, &error))
      return failures + 1;
  }
}

static void load_row(int percent, enum akl_kind kind, const char *how) {
  struct akl_budget budget = {0};
  char what[80];
  long sent = 0;
  (void)snprintf(what, sizeof what, "load when %d %% of all attempts %s", percent, how);
  begin(what);
  for (long i = 0; i < MILLION; i++) {
    unsigned n = attempts(&budget, percent / 100.0, kind);
    sent += n;
    TRY(n <= RETRIES + 1, "%u attempts with max_retries %d", n, RETRIES);
  }
  double load = (double)sent / MILLION;
  if (percent > 50 && load > 1.2) {
    broken++;
    (void)snprintf(counterexample, sizeof counterexample, "%.3f, not 1.2 at most", load);
  }
  (void)snprintf(what, sizeof what, "load when %d %% of all attempts %s: %.3f times", percent, how,
                 load);
  promise = what;
  end();
}

static void empty_budget(void) {
  begin("nothing is repeated on an empty budget, until first tries succeed");
  for (int timeouts = 0; timeouts < 2; timeouts++) {
    struct akl_budget budget = {0};
    struct akl_error error = failure(timeouts ? AKL_KIND_TIMEOUT : AKL_KIND_SERVER, 0);
    long taken = 0;
    for (int i = 0; i < 1000; i++)
      taken += akl_budget_take(&budget, &error);
    TRY(taken == (timeouts ? 50 : 100), "%ld repeats came out of a full budget", taken);
    for (int i = 0; i < 1000; i++)
      TRY(!akl_budget_take(&budget, &error), "repeat %d on an empty budget", i);
    for (int i = 0; i < (timeouts ? 10 : 5); i++) {
      TRY(!akl_budget_take(&budget, &error), "a repeat after %d successes", i);
      akl_budget_success(&budget);
    }
    TRY(akl_budget_take(&budget, &error), "no repeat, though the budget has recovered");
  }
  end();
}

static void retry_waits(void) {
  begin("a repeat waits for what the service asks, or its own time if longer");
  for (int tenths = 0; tenths <= 600; tenths++)
    for (unsigned retry = 0; retry < 12; retry++)
      for (int eighths = 0; eighths < 8; eighths++) {
        double chance = eighths / 8.0;
        struct akl_error error = failure(AKL_KIND_SERVER, tenths / 10.0);
        double own = chance * (retry < 6 ? 0.5 * (1 << retry) : 20);
        akl_usec expected = akl_seconds(own > error.retry_after ? own : error.retry_after);
        akl_usec wait = -1;
        bool may = akl_retry_wait(&error, retry, 100, chance, &wait);
        TRY(may && wait == expected, "Retry-After %.1f, repeat %u, dice %.3f: %.3f s",
            error.retry_after, retry, chance, (double)wait / 1e6);
      }
  end();

  begin("a Retry-After of more than 60 s is the caller's to decide");
  for (int tenths = 601; tenths < 10000; tenths++) {
    struct akl_error error = failure(AKL_KIND_RATE_LIMITED, tenths / 10.0);
    akl_usec wait;
    TRY(!akl_retry_wait(&error, 0, 100, dice(), &wait), "Retry-After %.1f", error.retry_after);
  }
  end();

  begin("what may have made a job, or is final, is never repeated");
  for (unsigned i = 0; i < 4; i++)
    for (unsigned most = 0; most <= 4; most++)
      for (unsigned retry = 0; retry <= 5; retry++) {
        struct akl_error error = failure(AKL_KIND_SERVER, 0);
        akl_usec wait;
        error.retryable = i % 2 == 0;
        error.maybe_created = i / 2 == 1;
        bool may = error.retryable && !error.maybe_created && retry < most;
        TRY(akl_retry_wait(&error, retry, most, dice(), &wait) == may,
            "retryable %d, maybe_created %d, repeat %u of %u", error.retryable, error.maybe_created,
            retry, most);
      }
  end();
}

/* ============================================================ }
** {====== Waits between polls ====== */

static struct akl_schedule some_schedule(void) {
  return (struct akl_schedule){.first = akl_seconds(between(0.001, 60)),
                               .factor = dice() < 0.1 ? 1 : between(1, 3),
                               .max = akl_seconds(between(0.001, 300)),
                               .jitter = dice() < 0.1 ? 0 : between(0, 1)};
}

static void poll_waits(void) {
  begin("a poll waits between first (1 - jitter) and max (1 + jitter), times the slowdown");
  for (long i = 0; i < MILLION; i++) {
    struct akl_schedule s = some_schedule();
    struct akl_pace p = {.slowdown = dice() < 0.5 ? 0 : between(0, 7)};
    akl_usec age = akl_seconds(between(0, 2000));
    double wait = (double)akl_poll_wait(&s, &p, age, dice()), slower = 1 + p.slowdown;
    double least = (double)(s.first < s.max ? s.first : s.max) * (1 - s.jitter) * slower;
    double most = (double)s.max * (1 + s.jitter) * slower;
    TRY(wait >= least - 1 && wait <= most + 1, "%.3f s, first %.3f, max %.3f, jitter %.3f",
        wait / 1e6, (double)s.first / 1e6, (double)s.max / 1e6, s.jitter);
  }
  end();

  begin("waits never become shorter as the job gets older");
  for (long i = 0; i < MILLION; i++) {
    struct akl_schedule s = some_schedule();
    struct akl_pace p = {0};
    akl_usec age = akl_seconds(between(0, 2000)), later = age + akl_seconds(between(0, 100));
    akl_usec wait = akl_poll_wait(&s, &p, age, 0.5), then = akl_poll_wait(&s, &p, later, 0.5);
    TRY(then >= wait, "%.3f s at %.3f, then %.3f", (double)wait / 1e6, (double)age / 1e6,
        (double)then / 1e6);
  }
  end();

  begin("a new job is first asked about at 1.5 to 2.5 times first, an old one at once");
  for (long i = 0; i < MILLION; i++) {
    struct akl_schedule s = some_schedule();
    struct akl_pace p = {0};
    double chance = dice(), first = (double)s.first, most = (double)s.max;
    double due = (1.5 * first < most ? 1.5 * first : most) + first * chance;
    akl_usec age = dice() < 0.5 ? 0 : akl_seconds(between(0, 300));
    double expected = due > (double)age ? due - (double)age : 0;
    double wait = (double)akl_poll_first(&s, &p, age, chance);
    TRY(wait >= expected - 1 && wait <= expected + 1, "%.3f s, first %.3f, max %.3f, age %.3f",
        wait / 1e6, first / 1e6, most / 1e6, (double)age / 1e6);
  }
  end();
}

/* ============================================================ }
** {====== The shared pace ====== */

static void refusals(void) {
  begin("after 'too frequent' all hold back for as long as asked, 60 s at most, else 1 s");
  for (int tenths = 0; tenths <= 1200; tenths++) {
    struct akl_pace p = {0};
    double asked = tenths / 10.0;
    akl_pace_refused(&p, asked, 5 * AKL_SECOND);
    akl_usec pause = asked > 0 && asked <= 60 ? akl_seconds(asked) : AKL_SECOND;
    TRY(p.not_before == 5 * AKL_SECOND + pause, "asked for %.1f s: %.3f", asked,
        (double)(p.not_before - 5 * AKL_SECOND) / 1e6);
  }
  end();

  begin("a shorter pause never cuts a longer one");
  for (long i = 0; i < 10000; i++) {
    struct akl_pace p = {0};
    akl_pace_refused(&p, between(0, 60), 0);
    akl_usec before = p.not_before;
    akl_pace_refused(&p, between(0, 60), akl_seconds(between(0, 60)));
    TRY(p.not_before >= before, "%.3f s instead of %.3f", (double)p.not_before / 1e6,
        (double)before / 1e6);
  }
  end();

  begin("polls become at most 8 times as slow, and recover");
  struct akl_pace p = {0};
  for (int i = 0; i < 1000; i++) {
    double before = p.slowdown;
    akl_pace_refused(&p, 0, 0);
    TRY(p.slowdown <= 7 && p.slowdown >= before, "slowdown %.3f after %d", p.slowdown, i + 1);
  }
  TRY(p.slowdown > 6.9, "slowdown %.3f after a thousand refusals", p.slowdown);
  for (int i = 0; i < 100; i++) {
    double before = p.slowdown;
    akl_pace_success(&p);
    TRY(p.slowdown < before || before <= 0, "no recovery at answer %d", i + 1);
  }
  TRY(p.slowdown <= 0, "still slow by %.3f after a hundred answers", p.slowdown);
  end();
}

/* Jobs come, ask and go by chance, in bursts and alone, with waits from 10 ms to 5 min. */
static void turns(void) {
  enum { MOST = 2000 };
  static uint32_t shares[MOST];
  static akl_usec turn_of[MOST];
  struct akl_pace p = {0};
  unsigned n = 0;
  akl_usec now = 0;
  begin("no turn is put off by more than two thirds of the average wait");
  for (long i = 0; i < MILLION; i++) {
    double what = dice();
    bool joins = n == 0 || (n < MOST && what < (i / 50000 % 2 == 0 ? 0.02 : 0.01));
    if (dice() < 0.3)
      now += akl_seconds(between(0, dice() < 0.01 ? 100 : 0.1));
    if (joins) {
      shares[n] = 0;
      turn_of[n] = 0;
      akl_pace_join(&p, &shares[n++], akl_seconds(between(0.01, 10)));
      continue;
    }
    unsigned j = (unsigned)(dice() * n);
    if (what > 0.985) {
      akl_pace_leave(&p, &shares[j]);
      shares[j] = shares[--n];
      turn_of[j] = turn_of[n];
      continue;
    }
    if (turn_of[j] > now) /* it waits for its turn, and takes no other */
      continue;
    turn_of[j] = akl_pace_turn(&p, now);
    double average = p.rate == 0 ? 0 : n * 1e6 / (double)p.rate;
    double put_off = (double)(turn_of[j] - now) / 1e6;
    TRY(put_off >= 0 && put_off <= average * 2 / 3, "%.3f s of %.3f with %u jobs", put_off, average,
        n);
    if (dice() < 0.5)
      akl_pace_share(&p, &shares[j], akl_seconds(between(0.01, 300)));
  }
  end();

  begin("the rate is the sum of all shares, and nothing is left of those who have gone");
  uint64_t sum = 0;
  for (unsigned i = 0; i < n; i++)
    sum += shares[i];
  TRY(p.rate == sum && p.jobs == n, "rate %llu of %llu, %u jobs of %u", (unsigned long long)p.rate,
      (unsigned long long)sum, p.jobs, n);
  while (n > 0)
    akl_pace_leave(&p, &shares[--n]);
  TRY(p.rate == 0 && p.jobs == 0 && p.level < 1e-9, "rate %llu, %u jobs, level %g",
      (unsigned long long)p.rate, p.jobs, p.level);
  end();
}

static void bursts(void) {
  enum { MOST = 5000 };
  static akl_usec at[MOST];
  static uint32_t shares[MOST];
  begin("of any number due together five go at once, the others 1.5 times as fast as even");
  for (unsigned n = 1; n <= MOST; n = n * 3 / 2 + 1) {
    struct akl_pace p = {0};
    double wait = between(1, 90);
    for (unsigned i = 0; i < n; i++) {
      shares[i] = 0;
      akl_pace_join(&p, &shares[i], akl_seconds(wait));
    }
    double speed = 1.5 * (double)p.rate / 1e6; /* in a second */
    for (unsigned i = 0; i < n; i++) {
      at[i] = akl_pace_turn(&p, 7 * AKL_SECOND) - 7 * AKL_SECOND;
      double expected = i < 5 ? 0 : (i - 4) / speed;
      TRY((double)at[i] / 1e6 > expected - 2e-6 && (double)at[i] / 1e6 < expected + 2e-6,
          "number %u of %u at %.6f s, not %.6f", i + 1, n, (double)at[i] / 1e6, expected);
    }
  }
  end();
}

/* ============================================================ } */

int main(int argc, char **argv) {
  seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  printf("seed %llu\n\n%-84s %8s\n", (unsigned long long)seed, "", "cases");
  for (int percent = 0; percent <= 100; percent += 10) {
    load_row(percent, AKL_KIND_SERVER, "fail");
    load_row(percent, AKL_KIND_TIMEOUT, "time out");
  }
  empty_budget();
  retry_waits();
  poll_waits();
  refusals();
  turns();
  bursts();
  puts(all_kept ? "\nEvery promise is kept." : "\nA promise is BROKEN.");
  return all_kept ? 0 : 1;
}
