/*
** core, clients: settings and clients as userdata. Names, types and defaults of options are checked
** in lua/akool/lipsync/options.lua; what arrives here is complete.
*/
#include <lauxlib.h>
#include <stdlib.h> /* free */
#include <string.h> /* memcpy, strdup */

#include "compat.h"
#include "core.h"
#include "protocol.h"

static const char CLIENT[] = "akool.lipsync.client";
static const char SETTINGS[] = "akool.lipsync.settings";
enum { CREDENTIAL_MAX = 4096 }; /* bytes */

/* As Lua holds them: one reference each, NULL until they are complete, and once they were collected. */
struct settings_box {
  struct akl_object object;
  struct akl_settings *settings;
};

struct client_box {
  struct akl_object object;
  struct akl_client *client;
};

/* {====== Settings ====== */

static double number(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  double value = luaL_checknumber(L, -1);
  lua_pop(L, 1);
  return value;
}

static akl_usec seconds(lua_State *L, const char *name) {
  return akl_seconds(number(L, name));
}

static bool flag(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

/* A copy of a string field, NULL when it is absent. */
static char *string(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  char *copy = NULL;
  if (!lua_isnil(L, -1)) {
    copy = strdup(luaL_checkstring(L, -1));
    if (copy == NULL)
      luaL_error(L, "not enough memory");
  }
  lua_pop(L, 1);
  return copy;
}

/* core.settings(options): all options of a client or of one call, as one value. */
static int core_settings(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  struct settings_box *box = akl_core_new(L, sizeof *box, SETTINGS);
  struct akl_settings *s = box->settings = akl_settings_new();
  if (s == NULL)
    return luaL_error(L, "not enough memory");
  s->connect_timeout = seconds(L, "connect_timeout");
  s->timeout = seconds(L, "timeout");
  s->create_timeout = seconds(L, "create_timeout");
  s->stall_timeout = seconds(L, "stall_timeout");
  s->wait_timeout = seconds(L, "wait_timeout");
  s->poll.first = seconds(L, "poll_first");
  s->poll.max = seconds(L, "poll_max");
  s->poll.factor = number(L, "poll_factor");
  s->poll.jitter = number(L, "poll_jitter");
  double most = number(L, "max_bytes");
  s->max_bytes = most < 9e18 ? (int64_t)most : INT64_MAX;
  s->max_retries = (unsigned)number(L, "max_retries");
  s->max_connections = (unsigned)number(L, "max_connections");
  s->allow_http = flag(L, "allow_http");
  s->allow_private = flag(L, "allow_private");
  s->overwrite = flag(L, "overwrite");
  s->resume = flag(L, "resume");
  s->events = flag(L, "events");
  s->proxy = string(L, "proxy");
  s->ca_file = string(L, "ca_file");
  lua_pushliteral(L, "User-Agent: ");
  lua_getfield(L, 1, "user_agent");
  lua_concat(L, 2);
  s->agent = strdup(lua_tostring(L, -1));
  if (s->agent == NULL)
    return luaL_error(L, "not enough memory");
  lua_settop(L, 2);
  return 1;
}

struct akl_settings *akl_core_check_settings(lua_State *L, int index) {
  const struct settings_box *box = akl_core_check(L, index, SETTINGS);
  if (box->settings == NULL)
    (void)luaL_argerror(L, index, "these settings are not complete, or were collected");
  return box->settings;
}

static int settings_gc(lua_State *L) {
  struct settings_box *box = akl_core_check(L, 1, SETTINGS);
  akl_settings_unref(box->settings);
  box->settings = NULL;
  return 0;
}

/* ============================================================ }
** {====== Clients ====== */

struct akl_client *akl_core_check_client(lua_State *L, int index) {
  const struct client_box *box = akl_core_check(L, index, CLIENT);
  if (box->client == NULL)
    (void)luaL_argerror(L, index, "this client is not complete, or was collected");
  return box->client;
}

/* core.client(base_url, allow_http): a client, or nil and an error. */
static int core_client(lua_State *L) {
  size_t size;
  struct akl_url url;
  const char *base = luaL_checklstring(L, 1, &size);
  bool allow_http = lua_toboolean(L, 2);
  const char *bad = akl_url_check(base, size, &url);
  if (bad == NULL && strpbrk(base, "?#") != NULL)
    bad = "has a query or a fragment in it";
  if (bad == NULL && !url.https && url.reach != AKL_LOOPBACK && !allow_http)
    bad = "is plain http, which would show the key to everybody on the way (allow_http = true if "
          "that is meant)";
  if (bad != NULL)
    return akl_core_refuse(L, AKL_CAUSE_BAD_BASE_URL, "base_url", bad);
  struct client_box *box = akl_core_new(L, sizeof *box, CLIENT);
  box->client = akl_client_new(base, &url);
  if (box->client == NULL)
    return luaL_error(L, "not enough memory");
  box->client->exchange_at = akl_protocol_endpoint(AKL_TOKEN);
  return 1;
}

/* What is wrong with a credential, without showing any of it. */
static const char *bad_credential(const char *value, size_t size) {
  if (size == 0)
    return "is empty";
  if (size > CREDENTIAL_MAX)
    return "is longer than 4096 bytes";
  for (size_t i = 0; i < size; i++)
    if ((unsigned char)value[i] <= 0x20 || (unsigned char)value[i] >= 0x7f)
      return "has a space, a line end or another character in it that no credential has";
  return NULL;
}

/* client:credentials(way, value, secret): use these from now on. 'way' is "api_key", "token" or
** "client_id" (then 'value' is the id). True, or nil and an error. */
static int client_credentials(lua_State *L) {
  static const char *const ways[] = {"api_key", "token", "client_id", NULL};
  static const enum akl_auth kinds[] = {AKL_AUTH_KEY, AKL_AUTH_TOKEN, AKL_AUTH_PAIR};
  struct akl_client *c = akl_core_check_client(L, 1);
  int way = luaL_checkoption(L, 2, NULL, ways);
  size_t size, secret_size = 0;
  const char *value = luaL_checklstring(L, 3, &size);
  const char *bad = bad_credential(value, size);
  if (bad != NULL)
    return akl_core_refuse(L, AKL_CAUSE_BAD_CREDENTIALS, ways[way], bad);
  const char *words = value;
  if (kinds[way] == AKL_AUTH_PAIR) {
    const char *secret = luaL_checklstring(L, 4, &secret_size);
    bad = bad_credential(secret, secret_size);
    if (bad != NULL)
      return akl_core_refuse(L, AKL_CAUSE_BAD_CREDENTIALS, "client_secret", bad);
    words = lua_pushfstring(L, "%s\n%s", value, secret);
    akl_protocol_token_body(L, value, secret);
    value = lua_tostring(L, -1);
  }
  if (!akl_client_credentials(c, kinds[way], value, words))
    return luaL_error(L, "not enough memory");
  lua_pushboolean(L, 1);
  return 1;
}

/* client:redact(text): the text without this client's credentials. */
static int client_redact(lua_State *L) {
  size_t size;
  const struct akl_client *c = akl_core_check_client(L, 1);
  const char *text = luaL_checklstring(L, 2, &size);
  char *copy = lua_newuserdata(L, size + 1);
  memcpy(copy, text, size + 1);
  akl_client_redact(c, copy);
  lua_pushstring(L, copy);
  return 1;
}

static int client_tostring(lua_State *L) {
  const struct client_box *box = akl_core_check(L, 1, CLIENT);
  lua_pushfstring(L, "%s (%s)", CLIENT, box->client == NULL ? "incomplete" : box->client->base_url);
  return 1;
}

static int client_gc(lua_State *L) {
  struct client_box *box = akl_core_check(L, 1, CLIENT);
  akl_client_unref(box->client);
  box->client = NULL;
  return 0;
}

/* ============================================================ } */

const luaL_Reg akl_core_client_functions[] = {
    {"settings", core_settings},
    {"client", core_client},
    {NULL, NULL},
};

static const luaL_Reg client_methods[] = {
    {"credentials", client_credentials},
    {"redact", client_redact},
    {"create", akl_core_create},
    {"info", akl_core_info},
    {"poll", akl_core_poll},
    {"credits", akl_core_credits},
    {"download", akl_core_download},
    {NULL, NULL},
};

static const luaL_Reg client_meta[] = {
    {"__gc", client_gc},
    {"__tostring", client_tostring},
    {NULL, NULL},
};

static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg settings_meta[] = {{"__gc", settings_gc}, {NULL, NULL}};

void akl_core_open_client(lua_State *L) {
  akl_core_class(L, CLIENT, client_methods, client_meta);
  akl_core_class(L, SETTINGS, no_methods, settings_meta);
}
