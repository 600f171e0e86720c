/*
** core, starts: every op begins here, as a method of a client or a function of the module. What a
** program passes is checked before anything is sent. Parts of a call are allocated only after the op
** that will own them is there, and nothing may raise in between.
*/
#include <lauxlib.h>
#include <string.h> /* strdup */

#include "core.h"
#include "protocol.h"
#include "url.h"

/* {====== From parts to an op ====== */

/* Free the parts of a call that is not to be. */
static void drop_parts(struct akl_call_parts *parts) {
  akl_download_free(parts->download, true);
  akl_wipe_string(parts->body);
}

/* [-0, +1, e] Push an op of this kind that has been started. Takes over the parts. */
static int start(lua_State *L, enum akl_call_kind kind, struct akl_call_parts *parts,
                 akl_usec wait) {
  struct akl_engine_box *box = lua_touserdata(L, -2);
  struct akl_op *op = lua_touserdata(L, -1);
  parts->engine = box->engine;
  parts->to = akl_protocol_endpoint(kind);
  if (box->engine == NULL) { /* by a finalizer that ran while the op was made */
    drop_parts(parts);
    return luaL_error(L, "attempt to use a closed engine");
  }
  if (!akl_call_init(&op->call, kind, parts))
    return luaL_error(L, "not enough memory");
  akl_call_start(&op->call, wait);
  akl_engine_settle(box->engine);
  return 1;
}

/* ============================================================ }
** {====== Checks ====== */

/* What is wrong with a URL that the service of 'c', which may be NULL, is to fetch. */
static const char *bad_media(const struct akl_client *c, const char *url, size_t size) {
  struct akl_url parsed;
  const char *bad = akl_url_check(url, size, &parsed);
  if (bad != NULL && size > 0 && strstr(url, "://") == NULL)
    return "is not an http(s) URL; a file of yours has to be uploaded somewhere public first";
  if (bad == NULL && c != NULL && c->url.reach == AKL_PUBLIC && parsed.reach != AKL_PUBLIC)
    return "points at this machine or at a private network, where the service cannot reach it";
  return bad;
}

/* The id at 'index' and its size, or NULL after pushing nil and an error. */
static const char *check_id(lua_State *L, int index, size_t *size) {
  const char *id = luaL_checklstring(L, index, size), *bad = akl_protocol_bad_id(id, *size);
  if (bad == NULL)
    return id;
  (void)akl_core_refuse(L, AKL_CAUSE_BAD_ID, "The job id", bad);
  return NULL;
}

static int out_of_memory(lua_State *L, struct akl_call_parts *parts) {
  drop_parts(parts);
  return luaL_error(L, "not enough memory");
}

/* ============================================================ }
** {====== Starts: methods of a client ====== */

/* client:create(settings, video_url, audio_url, webhook_url or nil) */
int akl_core_create(lua_State *L) {
  static const char *const names[] = {"video_url", "audio_url", "webhook_url"};
  struct akl_call_parts parts = {.client = akl_core_check_client(L, 1),
                                 .settings = akl_core_check_settings(L, 2)};
  lua_settop(L, 5);
  for (int i = 0; i < 3; i++) {
    size_t size;
    if (i == 2 && lua_isnoneornil(L, 5))
      break;
    const char *url = luaL_checklstring(L, 3 + i, &size);
    const char *bad = bad_media(parts.client, url, size);
    if (bad != NULL && !(i == 2 && size == 0))
      return akl_core_refuse(L, AKL_CAUSE_BAD_URL, names[i], bad);
  }
  akl_protocol_create_body(L, lua_tostring(L, 3), lua_tostring(L, 4), lua_tostring(L, 5));
  if (!akl_core_new_op(L, AKL_ID_MAX))
    return 2;
  parts.job = ((struct akl_op *)lua_touserdata(L, -1))->job;
  parts.body = strdup(lua_tostring(L, 6));
  if (parts.body == NULL)
    return out_of_memory(L, &parts);
  return start(L, AKL_CREATE, &parts, 0);
}

/* The start of an op about the job whose id is at 3. */
static int start_about_job(lua_State *L, enum akl_call_kind kind, akl_usec wait) {
  struct akl_call_parts parts = {.client = akl_core_check_client(L, 1),
                                 .settings = akl_core_check_settings(L, 2)};
  size_t size;
  const char *id = check_id(L, 3, &size);
  if (id == NULL)
    return 2;
  if (!akl_core_new_op(L, size))
    return 2;
  parts.job = ((struct akl_op *)lua_touserdata(L, -1))->job;
  memcpy(parts.job, id, size + 1);
  return start(L, kind, &parts, wait);
}

/* client:info(settings, id) */
int akl_core_info(lua_State *L) {
  return start_about_job(L, AKL_INFO, 0);
}

/* client:poll(settings, id, age or nil): follow a job. 'age' is that of a job of which it is known
** that it was not over when last seen: the first request can wait until it may be. */
int akl_core_poll(lua_State *L) {
  struct akl_client *c = akl_core_check_client(L, 1);
  const struct akl_settings *s = akl_core_check_settings(L, 2);
  akl_usec wait = 0;
  if (!lua_isnoneornil(L, 4))
    wait =
        akl_poll_first(&s->poll, &c->pace, akl_seconds(luaL_checknumber(L, 4)), akl_client_dice(c));
  return start_about_job(L, AKL_POLL, wait);
}

/* client:credits(settings) */
int akl_core_credits(lua_State *L) {
  struct akl_call_parts parts = {.client = akl_core_check_client(L, 1),
                                 .settings = akl_core_check_settings(L, 2)};
  if (!akl_core_new_op(L, 0))
    return 2;
  return start(L, AKL_CREDITS, &parts, 0);
}

/* What is wrong with the URL of a result; 'to' is what it says. */
static const char *bad_result(const struct akl_client *c, const struct akl_settings *s,
                              const char *url, size_t size, struct akl_url *to,
                              enum akl_cause *cause) {
  const char *bad = akl_url_check(url, size, to);
  *cause = AKL_CAUSE_BAD_RESULT_URL;
  if (bad != NULL)
    return bad;
  bool private = to->reach != AKL_PUBLIC;
  if (private && c->url.reach == AKL_PUBLIC && !s->allow_private) {
    *cause = AKL_CAUSE_PRIVATE_ADDRESS;
    return "points at a private address, which no result of a public service should";
  }
  if (!to->https && to->reach != AKL_LOOPBACK && !s->allow_http)
    return "is plain http";
  return NULL;
}

/* client:download(settings, url, path, id or nil, wants_progress) */
int akl_core_download(lua_State *L) {
  struct akl_call_parts parts = {.client = akl_core_check_client(L, 1),
                                 .settings = akl_core_check_settings(L, 2)};
  size_t url_size, path_size;
  struct akl_url address;
  enum akl_cause cause;
  const char *url = luaL_checklstring(L, 3, &url_size);
  const char *path = luaL_checklstring(L, 4, &path_size);
  size_t id_size = 0;
  const char *id = luaL_optlstring(L, 5, "", &id_size);
  bool wants_progress = lua_toboolean(L, 6);
  const char *bad = bad_result(parts.client, parts.settings, url, url_size, &address, &cause);
  if (bad != NULL)
    return akl_core_refuse(L, cause, "The result's URL", bad);
  if (strlen(path) != path_size)
    return akl_core_refuse(L, AKL_CAUSE_FILE_UNUSABLE, "The output path", "has a zero byte in it");
  if (!akl_core_new_op(L, id_size))
    return 2;
  struct akl_op *op = lua_touserdata(L, -1);
  struct akl_error error = {0};
  memcpy(op->job, id, id_size + 1);
  parts.job = op->job;
  parts.download = akl_download_new(url, &address);
  if (parts.download == NULL)
    return out_of_memory(L, &parts);
  parts.download->wants_progress = wants_progress;
  if (akl_file_open(&parts.download->file, path, parts.settings->overwrite, parts.settings->resume,
                    parts.settings->max_bytes, &error))
    return start(L, AKL_DOWNLOAD, &parts, 0);

  /* The op stays unused; its error is what it carries out of here. */
  akl_download_free(parts.download, true);
  op->call.job = parts.job;
  op->call.error = error;
  lua_pushnil(L);
  akl_core_push_error(L, &op->call.error, akl_call_job(&op->call), NULL);
  return 2;
}

/* core.bad_url(text), core.bad_id(text): what is wrong with a URL for the service, or with a job's id,
** as the end of a sentence; nil when nothing is. */
static int core_bad_url(lua_State *L) {
  size_t size;
  const char *url = luaL_checklstring(L, 1, &size);
  lua_pushstring(L, bad_media(NULL, url, size));
  return 1;
}

static int core_bad_id(lua_State *L) {
  size_t size;
  const char *id = luaL_checklstring(L, 1, &size);
  lua_pushstring(L, akl_protocol_bad_id(id, size));
  return 1;
}

/* core.sleep(seconds) */
static int core_sleep(lua_State *L) {
  struct akl_call_parts parts = {0};
  akl_usec length = akl_seconds(luaL_checknumber(L, 1));
  if (!akl_core_new_op(L, 0))
    return 2;
  return start(L, AKL_SLEEP, &parts, length);
}

/* core.interruption(): SIGINT or SIGTERM. */
static int core_interruption(lua_State *L) {
  struct akl_call_parts parts = {0};
  if (!akl_core_new_op(L, 0))
    return 2;
  const struct akl_op *op = lua_touserdata(L, -1);
  (void)start(L, AKL_INTERRUPTION, &parts, 0);
  if (op->call.error.kind == AKL_KIND_NONE)
    return 1;
  lua_pushnil(L);
  akl_core_push_error(L, &op->call.error, NULL, NULL);
  return 2;
}

/* ============================================================ } */

const luaL_Reg akl_core_start_functions[] = {
    {"sleep", core_sleep},
    {"bad_url", core_bad_url},
    {"bad_id", core_bad_id},
    {"interruption", core_interruption},
    {NULL, NULL},
};
