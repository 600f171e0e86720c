/*
** core, webhooks: deliveries opened and sealed, as functions for lua/akool/lipsync/webhook.lua.
*/
#include <lauxlib.h>

#include "compat.h"
#include "core.h"
#include "crypto.h"
#include "delivery.h"
#include "protocol.h"

static struct akl_piece piece(lua_State *L, int index) {
  struct akl_piece p;
  p.bytes = luaL_checklstring(L, index, &p.size);
  return p;
}

/* (client_id, client_secret, timestamp, nonce, …) */
static struct akl_sealing sealing(lua_State *L) {
  struct akl_sealing s = {.client_id = piece(L, 1),
                          .client_secret = piece(L, 2),
                          .timestamp = piece(L, 3),
                          .nonce = piece(L, 4)};
  luaL_argcheck(L, akl_delivery_key_fits(s.client_secret.size), 2, "16, 24 or 32 bytes expected");
  return s;
}

/* core.open_delivery(client_id, client_secret, timestamp, nonce, signature, sealed): whether it is
** what the service sealed, and a text, to be read in either case. nil when memory runs out. */
static int core_open_delivery(lua_State *L) {
  struct akl_sealing s = sealing(L);
  struct akl_piece signature = piece(L, 5), sealed = piece(L, 6);
  size_t size;
  bool starved;
  luaL_argcheck(L, sealed.size <= AKL_DELIVERY_MAX, 6, "too long");
  unsigned char *text = lua_newuserdata(L, akl_delivery_opened_room(sealed.size));
  bool fine = akl_delivery_open(&s, signature, sealed, text, &size, &starved);
  if (starved)
    return 0;
  lua_pushboolean(L, fine);
  lua_pushlstring(L, (const char *)text, size);
  akl_wipe(text, size);
  return 2;
}

/* core.seal_delivery(client_id, client_secret, timestamp, nonce, text): signature, sealed text. nil
** when memory runs out. */
static int core_seal_delivery(lua_State *L) {
  struct akl_sealing s = sealing(L);
  struct akl_piece text = piece(L, 5);
  char signature[AKL_SHA1_HEX + 1];
  luaL_argcheck(L, text.size <= AKL_DELIVERY_MAX / 2, 5, "too long");
  char *sealed = lua_newuserdata(L, akl_delivery_sealed_room(text.size));
  if (!akl_delivery_seal(&s, text, sealed, signature))
    return 0;
  lua_pushstring(L, signature);
  lua_pushstring(L, sealed);
  return 2;
}

/* UTF-8 (RFC 3629) without control characters but those that JSON may have between its tokens? Looks
** at all of it, whatever it is. A block of a sealed text that was tampered with turns into noise,
** which lua-cjson would take if it stands inside a string. */
static bool is_text(const unsigned char *bytes, size_t size) {
  bool fine = true;
  unsigned left = 0, lowest = 0, highest = 0; /* what may follow */
  for (size_t i = 0; i < size; i++) {
    unsigned c = bytes[i];
    if (left > 0) {
      fine &= c >= lowest && c <= highest;
      left--;
      lowest = 0x80, highest = 0xbf;
    } else if (c < 0x80) {
      fine &= c >= ' ' || c == '\t' || c == '\n' || c == '\r';
    } else {
      fine &= c >= 0xc2 && c <= 0xf4;
      left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
      lowest = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
      highest = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    }
  }
  return fine && left == 0;
}

/* core.decode(text): the table in a JSON text; whole numbers are integers, null is absent. nil when it
** is none. */
static int core_decode(lua_State *L) {
  struct akl_piece text = piece(L, 1);
  lua_settop(L, 1);
  akl_lua_rawgetp(L, LUA_REGISTRYINDEX, akl_json_decode);
  lua_pushvalue(L, 1);
  int failed = lua_pcall(L, 1, 1, 0);
  if (failed == LUA_ERRMEM)
    return lua_error(L);
  bool fine = is_text(text.bytes, text.size) && failed == 0 && lua_istable(L, -1);
  return fine && akl_protocol_tidy(L) ? 1 : 0;
}

/* core.encode(value): as JSON. Raises for what JSON cannot hold. */
static int core_encode(lua_State *L) {
  lua_settop(L, 1);
  akl_lua_rawgetp(L, LUA_REGISTRYINDEX, akl_json_encode);
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

const luaL_Reg akl_core_webhook_functions[] = {
    {"open_delivery", core_open_delivery},
    {"seal_delivery", core_seal_delivery},
    {"decode", core_decode},
    {"encode", core_encode},
    {NULL, NULL},
};
