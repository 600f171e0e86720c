# To be sourced at the top of the tree: lets Lua programs find this tree's modules before others.

# Lua would prefer these to the two below.
unset LUA_PATH_5_4 LUA_CPATH_5_4 LUA_PATH_5_3 LUA_CPATH_5_3 LUA_PATH_5_2 LUA_CPATH_5_2
LUA_PATH="$PWD/lua/?.lua;$PWD/lua/?/init.lua;;"
LUA_CPATH="$PWD/build/?.so;;"
export LUA_PATH LUA_CPATH
