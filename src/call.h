/*
** call: an op. It has been started and will finish: its attempts, its deadline, its cancelling, and
** for a poll all the requests that follow a job to its end.
**
** A call lives in memory of its owner's (the program's op object), does not move, and is in the
** engine's ring of calls until it is over. It has news when the program should look: an event was
** recorded, bytes came, or it is over.
*/
#ifndef AKL_CALL_H
#define AKL_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "answer.h"
#include "client.h"
#include "engine.h"
#include "settings.h"
#include "url.h"

enum akl_call_kind {
  AKL_CREATE,
  AKL_INFO,
  AKL_POLL,
  AKL_CREDITS,
  AKL_TOKEN, /* started by calls that need a token, never by the program */
  AKL_DOWNLOAD,
  AKL_SLEEP,
  AKL_INTERRUPTION,
};

enum akl_call_state {
  AKL_NEW,
  AKL_PAUSED, /* until its timer fires: sleeping, before a retry or the next poll; or a signal */
  AKL_NEEDS_TOKEN, /* until the client has one */
  AKL_QUEUED,      /* until there is a place in the lane to its host */
  AKL_EXCHANGE,    /* until its transfer ends */
  AKL_OVER,
};

enum { AKL_EVENT_TEXT = 528 }; /* bytes of an event's text at most, its zero byte among them */

enum akl_event_type { AKL_EV_REQUEST, AKL_EV_ANSWER, AKL_EV_RETRY, AKL_EV_STATUS, AKL_EV_TOKEN };

/* Something that happened, for whoever asked to hear of it. Holds no secrets. */
struct akl_event {
  struct akl_event *next;
  enum akl_event_type type;
  enum akl_call_kind kind; /* of the call it happened to */
  double at;               /* Unix time, seconds */
  unsigned attempt;        /* request, answer, retry: from 1 */
  int http_status, code;   /* answer */
  double seconds;          /* answer: how long it took; retry: the wait */
  time_t date;             /* answer: by the server's clock, -1 if it did not say */
  const char *error;       /* answer, retry: name of the error, static; NULL if none */
  int status;              /* status: what the service said, also when it is not one of the four */
  char text[];             /* request: method and URL without its query; else "" */
};

/* What only a download has. */
struct akl_download {
  char *url;              /* owned */
  struct akl_url address; /* what it says */
  struct akl_file file;
  int64_t progressed; /* bytes at the last failure */
  akl_usec told;      /* when progress was last told */
  bool wants_progress, has_progress;
};

/* Small, because a program may wait for a hundred thousand jobs at once. */
struct akl_call {
  struct akl_link link;    /* in the engine's calls */
  struct akl_link news;    /* in the engine's news */
  struct akl_link waiting; /* in the client's waiting, or in the queue of a lane */
  struct akl_timer timer;
  struct akl_engine *engine;     /* borrowed; NULL once it is over and that is known */
  struct akl_client *client;     /* counted; NULL for a sleep or a signal */
  struct akl_settings *settings; /* counted; NULL for a sleep or a signal */
  struct akl_transfer *transfer; /* while in an exchange */
  const struct akl_endpoint *to; /* of an API request; else NULL */
  char *job;                     /* borrowed: id of the job it is about, see akl_call_job */
  char *body;                    /* owned: of a POST */
  struct akl_download *download; /* owned */
  struct akl_event *last_event;  /* owned: a ring, the newest first; NULL when there are none */
  struct akl_error error;        /* once over: why it failed, if it did */
  akl_usec deadline;             /* of the whole call, AKL_NEVER if its parts have their own */
  akl_usec failing_since;        /* poll: since when requests fail, 0 if they do not */
  uint64_t seen[2];              /* poll: digest of the last answer */
  const char *failing_with;      /* poll: the last request's error, static; NULL if it was fine */
  int number;        /* poll: the status as the service last wrote it; the signal that came */
  unsigned slot;     /* the owner's */
  unsigned tokens;   /* which token the request was sent with */
  unsigned attempt;  /* requests sent, in all */
  unsigned failures; /* in a row */
  uint32_t share;    /* poll: its part of the client's rate */
  unsigned short event_count;
  unsigned char kind, state, status; /* enums above; status: the last one a poll learnt */
  bool renewed;                      /* a refused token was replaced once */
  bool learnt;                       /* poll: an answer was read */
  bool has_turn;                     /* poll: it may go when its timer fires */
};

/* Make zeroed memory a call that has not started. Takes over 'body' and 'download' (each may be NULL
** if it does not apply), also on failure; counts client and settings; 'job' lives as long as the
** call. False when memory runs out: then nothing is held. */
struct akl_call_parts {
  struct akl_engine *engine;
  struct akl_client *client;
  struct akl_settings *settings;
  const struct akl_endpoint *to;
  char *job; /* NULL if there will be none; "" and room for AKL_ID_MAX bytes in a create */
  char *body;
  struct akl_download *download;
};
bool akl_call_init(struct akl_call *c, enum akl_call_kind kind, const struct akl_call_parts *parts);

/* Start it. 'wait' is the length of a sleep, or how long a poll waits before its first request; else
** it is 0. */
void akl_call_start(struct akl_call *c, akl_usec wait);

/* Its transfer has ended and was taken from the engine. True: the body is an answer of the service
** that has to be read, while the transfer lives, and reported with akl_call_answered; False: all
** is settled. Either way the caller recycles the transfer afterwards. */
bool akl_call_ended(struct akl_call *c, struct akl_transfer *t);

/* What the answer says. True: the program should be told of the job in it (a new status, or the
** result of a call that is over). 'answer' stays the caller's. */
bool akl_call_answered(struct akl_call *c, struct akl_transfer *t, struct akl_answer *answer);

/* There may be news of the job that it follows: ask now instead of at the next moment of the schedule. */
void akl_call_hurry(struct akl_call *c);

/* End it now, with this cause; fine when it is over. */
void akl_call_cancel(struct akl_call *c, enum akl_cause cause, const char *why);

/* For akl_engine_new: the call whose link this is may begin, if there is place enough for it. */
bool akl_call_admit(struct akl_link *waiting);

/* Put it among the engine's news. */
void akl_call_news(struct akl_call *c);

/* The next call with news, or NULL; it is taken out of the engine's news. */
struct akl_call *akl_calls_news(struct akl_engine *e);

/* End every call of an engine that is about to be closed, or that belongs to another process. */
void akl_calls_close(struct akl_engine *e);

/* If a signal came that a call of this engine waits for, that call is over. */
void akl_calls_take_signal(struct akl_engine *e);

/* Take its oldest event, or NULL; to be freed with free(). */
struct akl_event *akl_call_event(struct akl_call *c);

/* Free all it holds; cancels it first if need be. */
void akl_call_free(struct akl_call *c);

/* What a download of 'url' (copied), which says 'address', has beyond other calls, its file not open
** yet; NULL when memory runs out. */
struct akl_download *akl_download_new(const char *url, const struct akl_url *address);

/* Free what only a download has, and the part of its file unless 'keep'; NULL is fine. */
void akl_download_free(struct akl_download *d, bool keep);

/* The id of the job it is about, or NULL if there is none or a create has not learnt it. */
static inline const char *akl_call_job(const struct akl_call *c) {
  return c->job == NULL || c->job[0] == '\0' ? NULL : c->job;
}

/* What it is doing, for messages ("creating a job"). Static. */
const char *akl_call_doing(const struct akl_call *c);

/* "create", "info", … Static. */
const char *akl_call_word(enum akl_call_kind kind);

#endif
