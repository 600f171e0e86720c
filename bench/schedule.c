/*
** schedule: how politely and how quickly the option `poll` follows jobs, by simulation on a clock
** of its own. What decides (policy.c) and what orders (timers.c) is the library's; around it stands
** a service that completes jobs, and what call.c and call_poll.c do between two requests.
**
**   schedule FIRST FACTOR MAX JITTER [SEED [EXCHANGE]]
**
** Seconds; EXCHANGE (0.1) is the length of a request, in whose middle the service looks at the job.
** Prints tables, and at the end whether every bar is met; that is also its exit code.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy.h"

enum {
  SAMPLES = 200000,   /* jobs behind every row of the first table */
  CROWD = 1000,       /* jobs at once */
  SECONDS = 3 * 3600, /* of simulated time that are counted at most */
  COUNTABLE = 10,     /* polls a second from which on a second is judged: below, ±1 is much */
};

static struct akl_schedule schedule;
static akl_usec exchange;
static bool all_met = true;

static double seconds(akl_usec t) {
  return (double)t / (double)AKL_SECOND;
}

static const char *verdict(bool met) {
  all_met = all_met && met;
  return met ? "met" : "MISSED";
}

/* {====== Chance ====== */

static uint64_t seed;

static double dice(void) { /* splitmix64, as in client.c */
  uint64_t z = seed += 0x9E3779B97F4A7C15U;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* A duration between two, in s: as many jobs between 10 and 20 s as between 10 and 20 min. */
static double some_duration(double least, double most) {
  return least * pow(most / least, dice());
}

/* What the mean delay may be after so long: 3 s, or 8 % if that is more. */
static double allowed(double duration) {
  return fmax(3, 0.08 * duration);
}

/* ============================================================ }
** {====== The world: a client, its jobs, the clock ====== */

struct job {
  struct akl_timer timer;
  akl_usec began, completes, known; /* moments; known: 0 until the caller knows */
  unsigned requests;
  uint32_t share;
  bool asking, refused, has_turn;
};

static struct akl_timers timers;
static struct akl_pace pace;
static unsigned limit; /* of polls in a second, beyond which the service refuses; 0: none */
static unsigned refusals;

/* Per second: polls, and how many there would be if all jobs that are followed came evenly. */
static unsigned polls[SECONDS];
static double even[SECONDS];

/* What akl_call_begin does when a poll is due. */
static void begin(struct job *j, akl_usec now) {
  if (pace.not_before > now) {
    j->has_turn = false;
    akl_timers_set(&timers, &j->timer, pace.not_before + akl_seconds(0.5 * dice()));
    return;
  }
  akl_usec turn = j->has_turn ? now : akl_pace_turn(&pace, now);
  j->has_turn = turn > now;
  if (j->has_turn) {
    akl_timers_set(&timers, &j->timer, turn);
    return;
  }
  unsigned *second = &polls[now / AKL_SECOND < SECONDS ? now / AKL_SECOND : SECONDS - 1];
  j->requests++;
  j->refused = ++*second > limit && limit > 0;
  j->asking = true;
  akl_timers_set(&timers, &j->timer, now + exchange);
}

/* What akl_polled does with an answer. */
static void answered(struct job *j, akl_usec now) {
  j->asking = false;
  if (j->refused) {
    akl_pace_refused(&pace, 0, now);
    refusals++;
  } else {
    akl_pace_success(&pace);
    if (j->completes <= now - exchange / 2) {
      j->known = now;
      akl_pace_leave(&pace, &j->share);
      return;
    }
  }
  akl_usec wait = akl_poll_wait(&schedule, &pace, now - j->began, dice());
  akl_pace_share(&pace, &j->share, wait);
  akl_timers_set(&timers, &j->timer, now + wait);
}

static void on_timer(struct akl_timer *timer, akl_usec now) {
  struct job *j = (struct job *)timer; /* its first member */
  if (j->asking)
    answered(j, now);
  else
    begin(j, now);
}

/* Follow a job from now on that is over in 'left' s. A new one is asked about when it may be done,
** another one at once. */
static void follow(struct job *j, akl_usec now, double left, bool new) {
  *j =
      (struct job){.timer = {.fire = on_timer}, .began = now, .completes = now + akl_seconds(left)};
  akl_usec wait = new ? akl_poll_first(&schedule, &pace, 0, dice()) : 0;
  if (!akl_timers_reserve(&timers))
    exit(2);
  akl_pace_join(&pace, &j->share, schedule.first);
  akl_timers_set(&timers, &j->timer, now + wait);
}

static void reset(void) {
  akl_timers_free(&timers);
  pace = (struct akl_pace){0};
  refusals = 0;
  for (int i = 0; i < SECONDS; i++) {
    polls[i] = 0;
    even[i] = 0;
  }
}

/* Note what is even at the beginning of each second from 'now' on up to 'next'. */
static void note_even(akl_usec now, akl_usec next) {
  for (akl_usec i = now / AKL_SECOND; i <= next / AKL_SECOND && i < SECONDS; i++)
    if (i * AKL_SECOND >= now)
      even[i] = (double)pace.rate / 1e6;
}

/* Let the clock run until 'end', or until nothing is left to happen; returns where it stands. */
static akl_usec run_until(akl_usec now, akl_usec end) {
  while (akl_timers_next(&timers) < end) {
    akl_usec next = akl_timers_next(&timers);
    note_even(now, next);
    now = next > now ? next : now;
    akl_timers_run(&timers, now);
  }
  return end == AKL_NEVER ? now : end;
}

/* ============================================================ }
** {====== One job at a time ====== */

static void alone(struct job *j, double duration) {
  akl_timers_free(&timers);
  pace = (struct akl_pace){0};
  follow(j, AKL_SECOND, duration, true);
  (void)run_until(AKL_SECOND, AKL_NEVER);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void one_row(double least, double most) {
  static double delays[SAMPLES];
  const size_t slow = (size_t)SAMPLES / 100 * 95; /* 5 % are slower than this one */
  double delay = 0, bar = 0, requests = 0;
  for (int i = 0; i < SAMPLES; i++) {
    struct job j;
    double duration = some_duration(least, most);
    alone(&j, duration);
    delays[i] = seconds(j.known - j.completes);
    delay += delays[i];
    bar += allowed(duration);
    requests += j.requests;
  }
  qsort(delays, SAMPLES, sizeof delays[0], ascending);
  printf("%5.0f - %4.0f  %8.2f %8.2f %8.2f %6.2f  %8.1f  %s\n", least, most, bar / SAMPLES,
         delay / SAMPLES, delays[slow], delay / bar, requests / SAMPLES, verdict(delay <= bar));
}

static void one_job(void) {
  static const double edges[] = {10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200};
  puts("One job: from 'completed' at the service to the caller knowing, in s\n\n"
       "   duration       may be     mean     95 %  ratio  requests");
  for (size_t i = 0; i + 1 < sizeof edges / sizeof edges[0]; i++)
    one_row(edges[i], edges[i + 1]);
}

static void ten_minutes(void) {
  enum { MOST = 60 };
  static unsigned of[MOST];
  double sum = 0;
  for (int i = 0; i < SAMPLES; i++) {
    struct job j;
    alone(&j, 600);
    of[j.requests < MOST ? j.requests : MOST - 1]++;
    sum += j.requests;
  }
  printf("\nRequests for a job of ten minutes: %.2f of 25 (", sum / SAMPLES);
  const char *comma = "";
  for (unsigned n = 0; n < MOST; n++)
    if (of[n] > 0) {
      printf("%s%u: %.1f %%", comma, n, 100.0 * of[n] / SAMPLES);
      comma = ", ";
    }
  printf(")  %s\n", verdict(sum / SAMPLES <= 25));
}

/* ============================================================ }
** {====== Many jobs ====== */

static struct job crowd[4 * CROWD];

/* How the mean delay of the first 'n' stands to what it may be. */
static double delay_ratio(unsigned n) {
  double delay = 0, bar = 0;
  for (unsigned i = 0; i < n; i++) {
    delay += seconds(crowd[i].known - crowd[i].completes);
    bar += allowed(seconds(crowd[i].completes - crowd[i].began));
  }
  return delay / bar;
}

/* The second from 'from' on that is busiest beside what is even for it. */
static void crowd_row(const char *what, unsigned n, size_t from, akl_usec end) {
  size_t worst = 0, judged = 0;
  double ratio = 0, mean = 0;
  for (size_t i = from; i + 1 < SECONDS && i < (size_t)(end / AKL_SECOND); i++) {
    double rate = fmax(even[i], even[i + 1]); /* at its beginning and at its end */
    judged += rate >= COUNTABLE;
    if (rate < COUNTABLE || polls[i] / rate <= ratio)
      continue;
    ratio = polls[i] / rate;
    mean = rate;
    worst = i;
  }
  printf("%-42s %5u %8zu %7zu %6.1f %6u %6.2f  %5.2f  %s\n", what, n, judged, worst, mean,
         polls[worst], ratio, delay_ratio(n), verdict(judged > 0 && ratio <= 2));
}

static void at_once(const char *what, unsigned n, bool new, double least, double most) {
  reset();
  for (unsigned i = 0; i < n; i++)
    follow(&crowd[i], 0, some_duration(least, most), new);
  akl_usec end = run_until(0, AKL_NEVER);
  crowd_row(what, n, 0, end);
}

/* The process stands still (a debugger, a full disk, a busy machine). What would have been due
** meanwhile is due when it goes on; even is what it was when that began. */
static void standstill(const char *what, akl_usec from, akl_usec length) {
  reset();
  for (unsigned i = 0; i < CROWD; i++)
    follow(&crowd[i], 0, 1800, true);
  (void)run_until(0, from);
  double before = (double)pace.rate / 1e6;
  size_t again = (size_t)((from + length) / AKL_SECOND);
  akl_usec end = run_until(from + length, AKL_NEVER);
  for (size_t i = again; i < again + (size_t)seconds(schedule.max) && i < SECONDS; i++)
    even[i] = fmax(even[i], before);
  crowd_row(what, CROWD, again, end);
}

/* One job after the other. Once as many end as begin, even is the mean of all seconds. */
static void steadily(const char *what, double each) {
  enum { SETTLED = 1200 };
  const unsigned n = sizeof crowd / sizeof crowd[0];
  akl_usec now = 0;
  reset();
  for (unsigned i = 0; i < n; i++) {
    follow(&crowd[i], now, some_duration(10, 1200), true);
    now = run_until(now, akl_seconds((i + 1) * each));
  }
  (void)run_until(now, AKL_NEVER);
  size_t last = (size_t)(now / AKL_SECOND);
  double sum = 0;
  for (size_t i = SETTLED; i < last; i++)
    sum += polls[i];
  for (size_t i = SETTLED; i <= last; i++)
    even[i] = sum / (double)(last - SETTLED);
  crowd_row(what, n, SETTLED, now);
}

static void many_jobs(void) {
  printf("\nMany jobs: polls in the busiest second, of twice what is even for the jobs followed\n\n"
         "%-42s %5s %8s %7s %6s %6s %6s  %5s\n",
         "", "jobs", "seconds", "busiest", "even", "polls", "ratio", "delay");
  at_once("made at once, done in 10 s to 20 min", CROWD, true, 10, 1200);
  at_once("made at once, done in 30 min", CROWD, true, 1800, 1800);
  at_once("made at once, four thousand", 4 * CROWD, true, 10, 1200);
  at_once("resumed at once, done in 10 s to 20 min", CROWD, false, 10, 1200);
  at_once("resumed at once, done in 30 min", CROWD, false, 1800, 1800);
  standstill("after a standstill of one minute", 100 * AKL_SECOND, 60 * AKL_SECOND);
  standstill("after a standstill of ten minutes", 600 * AKL_SECOND, 600 * AKL_SECOND);
  steadily("one after the other, every 0.6 s", 0.6);
}

static void refusing_row(unsigned most) {
  unsigned requests = 0;
  limit = most;
  reset();
  for (unsigned i = 0; i < CROWD; i++)
    follow(&crowd[i], 0, some_duration(10, 1200), true);
  (void)run_until(0, AKL_NEVER);
  for (unsigned i = 0; i < CROWD; i++)
    requests += crowd[i].requests;
  printf("%20u %9u %9u %10.1f  %5.2f  %s\n", most, requests, refusals, 100.0 * refusals / requests,
         delay_ratio(CROWD), verdict(refusals <= requests / 10));
  limit = 0;
}

static void refusing(void) {
  puts("\nA service that answers 'too frequent' beyond a limit: 1000 jobs made at once;\n"
       "no more than one request in ten is to be refused\n\n"
       "allowed in a second  requests   refused  percent  delay");
  refusing_row(150);
  refusing_row(100);
  refusing_row(50);
}

/* ============================================================ } */

int main(int argc, char **argv) {
  if (argc < 5) {
    fputs("usage: schedule FIRST FACTOR MAX JITTER [SEED [EXCHANGE]]\n", stderr);
    return 2;
  }
  schedule = (struct akl_schedule){.first = akl_seconds(strtod(argv[1], NULL)),
                                   .factor = strtod(argv[2], NULL),
                                   .max = akl_seconds(strtod(argv[3], NULL)),
                                   .jitter = strtod(argv[4], NULL)};
  seed = argc > 5 ? strtoull(argv[5], NULL, 10) : 1;
  exchange = akl_seconds(argc > 6 ? strtod(argv[6], NULL) : 0.1);
  one_job();
  ten_minutes();
  many_jobs();
  refusing();
  akl_timers_free(&timers);
  puts(all_met ? "\nEvery bar is met." : "\nA bar is MISSED.");
  return all_met ? 0 : 1;
}
