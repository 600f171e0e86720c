/*
** floor: plain C on libcurl, the least that a client built on it can cost. One multi handle, driven
** by its socket interface and epoll; the library and every floor send the same requests.
**
** URL names its host by address: the sockets of libcurl's resolver would break the one trick in
** multi.c, which is to tell epoll about a socket only when the next wait begins. Between two
** requests on a kept connection libcurl says "remove" and then "in" again, and by then the two have
** cancelled out.
*/
#ifndef FLOOR_H
#define FLOOR_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_SOCKET = 4096, MAX_SLOTS = 1024, MAX_BODY = 4096 };

/* One request in flight, again and again. Owns its easy handle and its address. */
struct slot {
  CURL *easy;
  CURLU *address; /* NULL unless tuned */
  size_t length;
  char body[MAX_BODY + 1];
  struct slot *next; /* the program's, as is `job` */
  size_t job;
};

/* What epoll knows about a socket, and what libcurl would like it to know. */
struct watch {
  uint32_t has;
  uint32_t wants;
  bool listed; /* in 'changed' */
};

struct engine {
  CURLM *multi; /* owned */
  int epoll;
  double deadline; /* of libcurl's timer; negative when none is set */
  void (*finished)(struct engine *e, struct slot *s);
  int changes;
  int changed[MAX_SOCKET];
  struct watch watches[MAX_SOCKET];
};

/* How to reach the service. Tuned is a floor below the floor: it has the tricks of the library, which
** libcurl's manuals do not show: a URL that is parsed once, the agent among the headers, no timeout
** of libcurl's. Unresumed is one that takes up no TLS session, as the library must not. */
struct way {
  bool tuned;
  bool unresumed;
  bool http2;          /* over TLS; else HTTP/1.1 */
  const char *ca_file; /* NULL: libcurl's own default */
};

/* Open an engine that keeps so many connections; 'finished' is called for each answer whose HTTP
** status is a success, and a failure ends the program. */
void floor_open(struct engine *e, const struct way *way, int connections,
                void (*finished)(struct engine *e, struct slot *s));
void floor_close(struct engine *e);

/* Make a slot's handle send what the library sends. The headers last as long as the program. */
void floor_prepare(struct slot *s, struct engine *e, const struct way *way, const char *url);

/* Free what a slot owns. */
void floor_release(struct slot *s);

/* Send a slot's request. */
void floor_start(struct engine *e, struct slot *s);

/* Work, and wait for more to do until then; negative: for as long as it takes. Returns early when
** something happened. */
void floor_turn(struct engine *e, double until);

/* Does an answer say 1000? Ends the program if not. */
void floor_check_answer(struct slot *s);

/* Seconds on the monotonic clock; seconds of CPU; resident memory in kB, now and at its peak. */
double floor_now(void);
double floor_cpu(void);
long floor_rss(void);
long floor_peak_rss(void);

void floor_fail(const char *what);
void floor_check_easy(CURLcode code);

/* A whole number between 1 and 'most' out of an argument. */
long floor_number(const char *text, long most);

/* A way as the arguments name it, from the given one on: plain|tuned|unresumed [1.1|2 [CA_FILE]]. */
struct way floor_way(int argc, char **argv, int first);

/* The programs; what follows their name on the command line is theirs. */
int floor_info(int argc, char **argv);
int floor_poll(int argc, char **argv);
int floor_waiting(int argc, char **argv);
int floor_download(int argc, char **argv);

#endif
