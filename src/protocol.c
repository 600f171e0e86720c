/* protocol: JSON and requests; see protocol.h. Answers are read in protocol_answer.c. */
#include "protocol.h"

#include "compat.h"

enum { DEPTH_MAX = 64 }; /* of nested JSON */

/* {====== JSON ====== */

const char akl_json_decode[] = "decode";
const char akl_json_encode[] = "encode";

/* [-0, +0, e] Call a configuration function of the instance on top with one argument. */
static void configure(lua_State *L, const char *name, int number, bool is_flag) {
  lua_getfield(L, -1, name);
  if (is_flag)
    lua_pushboolean(L, number);
  else
    lua_pushinteger(L, number);
  lua_call(L, 1, 0);
}

void akl_protocol_open(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "cjson");
  if (lua_pcall(L, 1, 1, 0) != 0 || !lua_istable(L, -1))
    luaL_error(L, "akool.lipsync needs lua-cjson (Debian: lua-cjson, LuaRocks: lua-cjson): %s",
               lua_isstring(L, -1) ? lua_tostring(L, -1) : "it is not a table");
  lua_getfield(L, -1, "new");
  if (!lua_isfunction(L, -1))
    luaL_error(
        L, "akool.lipsync needs lua-cjson, but the module 'cjson' here is another one: it has no "
           "function 'new'");
  lua_call(L, 0, 1);
  configure(L, "decode_max_depth", DEPTH_MAX, false);
  configure(L, "decode_invalid_numbers", 0, true);
  lua_getfield(L, -1, "decode");
  akl_lua_rawsetp(L, LUA_REGISTRYINDEX, akl_json_decode);
  lua_getfield(L, -1, "encode");
  akl_lua_rawsetp(L, LUA_REGISTRYINDEX, akl_json_encode);
  lua_pop(L, 2);
}

/* [-1, +1, m] Encode the table on top. */
static void encode(lua_State *L) {
  akl_lua_rawgetp(L, LUA_REGISTRYINDEX, akl_json_encode);
  lua_insert(L, -2);
  lua_call(L, 1, 1);
}

static void set_string(lua_State *L, const char *field, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

void akl_protocol_create_body(lua_State *L, const char *video, const char *audio,
                              const char *webhook) {
  lua_newtable(L);
  set_string(L, "video_url", video);
  set_string(L, "audio_url", audio);
  set_string(L, "webhookUrl", webhook == NULL ? "" : webhook);
  encode(L);
}

void akl_protocol_token_body(lua_State *L, const char *id, const char *secret) {
  lua_newtable(L);
  set_string(L, "clientId", id);
  set_string(L, "clientSecret", secret);
  encode(L);
}

/* ============================================================ }
** {====== Requests ====== */

const char *akl_protocol_bad_id(const char *id, size_t size) {
  if (size == 0)
    return "is empty";
  if (size > AKL_ID_MAX)
    return "is longer than 128 bytes";
  for (size_t i = 0; i < size; i++) {
    char c = id[i];
    bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                c == '-' || c == '_';
    if (!fine)
      return "has characters in it that no job id has (letters, digits, - and _ are allowed)";
  }
  return NULL;
}

const struct akl_endpoint *akl_protocol_endpoint(enum akl_call_kind kind) {
  static const struct akl_endpoint create = {.path = "/api/open/v3/content/video/lipsync"};
  static const struct akl_endpoint info = {.path = "/api/open/v3/content/video/infobymodelid",
                                           .query = "video_model_id="};
  static const struct akl_endpoint credits = {.path = "/api/open/v3/faceswap/quota/info"};
  static const struct akl_endpoint token = {.path = "/api/open/v3/getToken"};
  static const struct akl_endpoint *const endpoints[] = {
      [AKL_CREATE] = &create,   [AKL_INFO] = &info,   [AKL_POLL] = &info,
      [AKL_CREDITS] = &credits, [AKL_TOKEN] = &token, [AKL_INTERRUPTION] = NULL};
  return endpoints[kind];
}

/* ============================================================ } */
