# To be sourced: the Luas that the module is for, by the names that CMake's AKL_LUA gives them.

LUAS="5.4 5.3 5.2 5.1 jit"

# lua_folder LUA: where the module for it is built; everyday work is done with 5.4.
lua_folder() {
  case $1 in
    5.4) echo build ;;
    *) echo "build/$1" ;;
  esac
}

# lua_program LUA: what it is called in a shell.
lua_program() {
  case $1 in
    jit) echo luajit ;;
    *) echo "lua$1" ;;
  esac
}

# is_lua NAME: true if it is one of them; otherwise says which there are.
is_lua() {
  case " $LUAS " in
    *" $1 "*) ;;
    *)
      echo "there is no Lua called '$1'; there are $LUAS" >&2
      return 1
      ;;
  esac
}
