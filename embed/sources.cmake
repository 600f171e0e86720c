# Writes OUTPUT, a C source with the Lua files of FILES, which are below ROOT; see sources.h.
#
#   cmake -DOUTPUT=sources.c -DROOT=lua "-DFILES=a.lua;b/c.lua" -P sources.cmake

set(arrays "")
set(rows "")
set(count 0)
foreach(file IN LISTS FILES)
  file(READ "${ROOT}/${file}" bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "\\.lua$" "" module "${file}")
  string(REPLACE "/" "." module "${module}")
  string(APPEND arrays "static const unsigned char text_${count}[] = {${bytes}0};\n")
  string(APPEND rows
    "    {\"${module}\", \"@${file}\", text_${count}, sizeof text_${count} - 1},\n")
  math(EXPR count "${count} + 1")
endforeach()

file(WRITE "${OUTPUT}" "/* Made by sources.cmake. */
#include \"sources.h\"

${arrays}
const struct akl_source akl_sources[] = {
${rows}};
const size_t akl_source_count = ${count};
")
