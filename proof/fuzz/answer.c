/*
** answer: the body of an answer of the service, read as the answer to each kind of request. What
** comes out is a job (or a balance, or a token) or an error, never both, never neither.
**
** The first byte of an input is the kind of the request ("c" create, "i" info, "p" poll, "b"
** balance, "t" token), the second the HTTP status (a digit, see below); the rest is the body, in
** which the byte 1 stands for the key that was sent.
*/
#include <curl/curl.h>
#include <stdlib.h> /* free */
#include <string.h> /* memcmp */

#include "call_inside.h"
#include "check.h"
#include "core.h"
#include "harness.h"
#include "protocol.h"

#define KEY "sk-9f8e7d6c5b4a39281706f5e4d3c2b1a0"
#define JOB "66160f989dc5e2c8a9dbb8fb"

static const struct akl_url here = {.https = false, .reach = AKL_LOOPBACK, .host = "127.0.0.1"};

static enum akl_call_kind kind_of(uint8_t byte) {
  switch (byte) {
  case 'c':
    return AKL_CREATE;
  case 'p':
    return AKL_POLL;
  case 'b':
    return AKL_CREDITS;
  case 't':
    return AKL_TOKEN;
  default:
    return AKL_INFO;
  }
}

static int status_of(uint8_t byte) {
  static const int statuses[] = {200, 201, 204, 302, 400, 401, 408, 429, 500, 503};
  return statuses[byte % 10];
}

/* Write the body as the service would have sent it. */
static void take_body(struct akl_memory *body, const uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    bool key = bytes[i] == 1;
    const char *piece = key ? KEY : (const char *)&bytes[i];
    fuzz_must(akl_memory_write(body, piece, key ? strlen(KEY) : 1), "memory suffices");
  }
}

/* (reading) -> what was read: as core_op.c calls it, under lua_pcall. */
static int read_answer(lua_State *L) {
  struct akl_reading *r = lua_touserdata(L, 1);
  akl_protocol_read(L, r->call, r->transfer, &r->answer);
  return 1;
}

static void check_answer(lua_State *L, const struct akl_reading *r) {
  const struct akl_answer *a = &r->answer;
  bool token = r->call->kind == AKL_TOKEN;
  if (a->error.kind != AKL_KIND_NONE) {
    fuzz_must(lua_isnil(L, -1) && a->token == NULL, "an error comes without a result");
    fuzz_must(a->error.http_status == r->transfer->status, "an error knows its HTTP status");
    akl_core_push_error(L, &a->error, a->id[0] == '\0' ? NULL : a->id, NULL);
    fuzz_check_error(L, -1, KEY);
  } else if (token) {
    fuzz_must(a->token != NULL && a->token[0] != '\0', "a good answer to getToken has a token");
    fuzz_check_text(a->token, strlen(a->token), NULL, "the token");
  } else if (r->call->kind == AKL_CREDITS) {
    lua_getfield(L, -1, "credits");
    fuzz_must(lua_isnumber(L, -1), "a balance is a number");
  } else {
    fuzz_check_job(L, -1, r->call->kind == AKL_POLL);
    lua_getfield(L, -1, "id");
    fuzz_must(r->call->kind == AKL_CREATE || strcmp(lua_tostring(L, -1), JOB) == 0,
              "an answer is about the job that was asked for");
    fuzz_must(strcmp(lua_tostring(L, -1), a->id) == 0, "both halves of an answer name one job");
  }
}

/* A poll takes an answer for the last one when it is the same byte for byte, and only then. */
static void check_unchanged(struct akl_call *c, struct akl_transfer *t, unsigned where) {
  struct akl_answer good = {.status = AKL_PROCESSING, .number = AKL_PROCESSING};
  t->status = 200;
  (void)akl_polled(c, t, &good);
  fuzz_must(akl_poll_unchanged(c, t), "the same answer is the same");
  t->answer.data[where % t->answer.size] ^= 1;
  fuzz_must(!akl_poll_unchanged(c, t), "an answer with another byte is another one");
  t->answer.data[where % t->answer.size] ^= 1;
  t->answer.size--;
  fuzz_must(!akl_poll_unchanged(c, t), "a shorter answer is another one");
}

static struct akl_client *client;
static struct akl_settings *settings;
static struct akl_engine *engine;

static void set_up(void) {
  client = akl_client_new("http://127.0.0.1", &here);
  settings = akl_settings_new();
  engine = akl_engine_new(akl_call_admit);
  fuzz_must(client != NULL && settings != NULL && engine != NULL &&
                akl_client_credentials(client, AKL_AUTH_KEY, KEY, KEY),
            "a client can be made");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct fuzz_input in = {bytes, size};
  if (engine == NULL)
    set_up();
  enum akl_call_kind kind = kind_of(fuzz_byte(&in));
  struct akl_call call = {0};
  char job[AKL_ID_MAX + 1] = "";
  if (kind != AKL_CREATE)
    memcpy(job, JOB, sizeof JOB);
  struct akl_call_parts parts = {
      .engine = engine, .client = client, .settings = settings, .job = job};
  struct akl_transfer t = {.retry_after = -1, .status = status_of(fuzz_byte(&in))};
  struct akl_reading reading = {.call = &call, .transfer = &t};
  take_body(&t.answer, in.at, in.left);
  fuzz_must(akl_call_init(&call, kind, &parts), "memory suffices");

  lua_State *L = fuzz_lua();
  fuzz_require(L, "akool.lipsync.core");
  lua_pushcfunction(L, read_answer);
  lua_pushlightuserdata(L, &reading);
  fuzz_must(fuzz_call(L, 1, 1), "reading an answer does not raise: %s", lua_tostring(L, -1));
  check_answer(L, &reading);
  if (kind == AKL_POLL && t.answer.size > 0) {
    akl_link_append(&engine->calls, &call.link);
    check_unchanged(&call, &t, (unsigned)size);
    akl_call_cancel(&call, AKL_CAUSE_CANCELLED, "it was cancelled");
  }
  akl_call_free(&call);
  akl_error_clear(&reading.answer.error);
  free(reading.answer.token);
  akl_memory_free(&t.answer);
  return 0;
}
