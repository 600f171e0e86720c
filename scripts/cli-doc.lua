-- cli-doc: prints what is written about the command line, made of the table that its parser is made of.
--
--   lua5.4 scripts/cli-doc.lua page > docs/cli.md
--   lua5.4 scripts/cli-doc.lua manual > man/akool-lipsync.1

local tree = arg[0]:match("^(.*)scripts/[^/]*$") or "../"
if not os.getenv "LUA_PATH" then package.path = tree .. "lua/?.lua;" .. package.path end
if not os.getenv "LUA_CPATH" then package.cpath = tree .. "build/?.so;" .. package.cpath end

local commands = require "akool.lipsync.cli.commands"
local core = require "akool.lipsync.core"
local exit = require "akool.lipsync.cli.exit"

-- What both have in common ------------------------------------------------------------------------

--- The words behind the name of a command.
local function synopsis(command, path)
  local words = { path }
  if #(command.options or {}) > 0 then words[#words + 1] = "[OPTION]..." end
  for _, argument in ipairs(command.arguments or {}) do
    local name = argument.argname
    local some = argument.args == "+" or argument.args == "*"
    if some then name = name .. "..." end
    if argument.args == "*" or argument.args == "?" then name = "[" .. name .. "]" end
    words[#words + 1] = name
  end
  return table.concat(words, " ")
end

--- An option with what stands for its value.
local function label(option)
  local value = option.argname or option.choices and table.concat(option.choices, "|")
  return option.name:gsub("%s+", ", ") .. (value and " " .. value or "")
end

--- Calls `f(command, path)` for every command that does something, and for the groups before them.
local function walk(f)
  for _, command in ipairs(commands.list) do
    f(command, command.name)
    for _, inner in ipairs(command.commands or {}) do f(inner, command.name .. " "
      .. inner.name) end
  end
end

-- The page ----------------------------------------------------------------------------------------

local page = {}

local INTRODUCTION = [[
# The command line

<!-- Made by scripts/cli-doc.lua from lua/akool/lipsync/cli/commands.lua: change those. -->

```sh
export AKOOL_API_KEY=…  # or write it into ~/.config/akool/key
akool-lipsync generate https://example.com/clip.mp4 https://example.com/voice.wav -o dubbed.mp4

akool-lipsync batch add jobs.db voices.csv --video https://example.com/clip.mp4
akool-lipsync batch run jobs.db  # again at any time: it does what is left
```

It needs argparse beside what the library needs, luv for key files, progress on a terminal, `mock`
and `webhook listen`, and LuaDBI for `batch`. On Debian: `lua-argparse`, `lua-luv`,
`lua-dbi-sqlite3`.

## What is said where

Standard output gets the result and nothing else: a line that a person can read, or with `--json`
exactly one JSON document, or with `--events` JSON lines as things happen, of which the last has
the `type` `result`. A document about a failure has `error`, with the fields of
[an error](errors.md) and the status that the program ends with as `exit`.

Standard error gets all else. Where it is a terminal, one line for each job that runs and a last
one for all of them are drawn there, and drawn anew when its size changes; elsewhere a line is
printed whenever something changes. What comes from the service is printed without control
characters.

After Ctrl-C or SIGTERM the ids of the jobs that go on at the service are printed, and the command
that continues. While a create is under way its answer is waited for first, because it may be
paid; a second Ctrl-C ends at once.

## Keys

A key never stands on the command line, where others can see it, and is never printed. It comes
from

1. `--key-file FILE`, which nobody but you may be able to read (`chmod 600`), or `-` for
   standard input;
2. the environment: `AKOOL_API_KEY`, or `AKOOL_TOKEN`, or `AKOOL_CLIENT_ID` and
   `AKOOL_CLIENT_SECRET`;
3. `~/.config/akool/key` (`$XDG_CONFIG_HOME/akool/key`), if it is there.

Such a file holds the API key and nothing else, or lines such as `AKOOL_CLIENT_ID=…`. A ledger's
address with a password in it can stay out of the command line too: put it into `AKOOL_LEDGER`,
and write `-` where LEDGER is asked for.

]]

local function escape_cell(text)
  return (text:gsub("|", "\\|"))
end

local function tabulate(head, rows)
  io.write("| ", table.concat(head, " | "), " |\n|", (" --- |"):rep(#head), "\n")
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do row[i] = escape_cell(cell) end
    io.write("| ", table.concat(row, " | "), " |\n")
  end
  io.write "\n"
end

local function code(text)
  return "`" .. text .. "`"
end

function page.options(list)
  local rows = {}
  for i, option in ipairs(list) do rows[i] = { code(label(option)), option.description } end
  tabulate({ "option", "meaning" }, rows)
end

function page.command(command, path)
  local level = path:find " " and "###" or "##"
  io.write(("%s akool-lipsync %s\n\n"):format(level, path))
  if not command.commands then
    io.write(("```text\nakool-lipsync %s\n```\n\n"):format(synopsis(command, path)))
  end
  io.write(command.description, "\n\n")
  if command.detail then io.write(command.detail, "\n\n") end
  local rows = {}
  for i, argument in ipairs(command.arguments or {}) do
    rows[i] = { code(argument.argname), argument.description }
  end
  if #rows > 0 then tabulate({ "argument", "meaning" }, rows) end
  if command.options then page.options(command.options) end
end

function page.print()
  io.write(INTRODUCTION, "## Exit status\n\n")
  local rows = {}
  for i, row in ipairs(exit.list) do rows[i] = { ("%d"):format(row.code), row.meaning } end
  tabulate({ "status", "meaning" }, rows)
  io.write("When several things went wrong, the status is that of the gravest: ",
    table.concat(exit.gravity, ", "), ".\n\n## Options of all commands\n\n",
    "Beside these `-h` or `--help`, which tells of the command before it, and `--version`.\n\n")
  for _, group in ipairs(commands.groups) do
    io.write("### ", group.name, "\n\n")
    page.options(group.options)
  end
  walk(page.command)
  io.write "## Environment\n\n"
  rows = {}
  for i, row in ipairs(commands.environment) do
    rows[i] = { code(row[1]:gsub(", ", "`, `")), row[2] }
  end
  tabulate({ "variable", "meaning" }, rows)
end

-- The manual --------------------------------------------------------------------------------------

local manual = {}

--- Text for troff: what it would take for its own is marked.
local function roff(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("'", "\\(aq"):gsub("`", "\\(ga")
  return (text:gsub("^%.", "\\&."))
end

local function item(head, text)
  io.write(".TP\n.B ", roff(head), "\n", roff(text), "\n")
end

function manual.command(command, path)
  io.write(".SS ", roff(path), "\n")
  if not command.commands then
    io.write(".B akool\\-lipsync ", roff(synopsis(command, path)), "\n.PP\n")
  end
  io.write(roff(command.description), "\n")
  if command.detail then io.write(".PP\n", roff(command.detail), "\n") end
  for _, argument in ipairs(command.arguments or {}) do
    item(argument.argname, argument.description)
  end
  for _, option in ipairs(command.options or {}) do item(label(option), option.description) end
end

function manual.print()
  io.write('.\\" Made by scripts/cli-doc.lua from lua/akool/lipsync/cli/commands.lua.\n')
  io.write(('.TH AKOOL\\-LIPSYNC 1 "" "akool\\-lipsync %s" "User Commands"\n')
    :format(core._VERSION))
  io.write(".SH NAME\nakool\\-lipsync \\- make videos whose lips match a voice\n")
  io.write(".SH SYNOPSIS\n.B akool\\-lipsync\n[OPTION]... COMMAND ...\n")
  io.write(".SH DESCRIPTION\n", roff(commands.description), "\n")
  io.write(".PP\n", roff("Standard output gets the result and nothing else; progress, notes and "
    .. "errors go to standard error. After Ctrl-C the ids of the jobs that go on at the service "
    .. "are printed, and the command that continues; a second one ends at once."), "\n")
  io.write ".SH COMMANDS\n"
  walk(manual.command)
  io.write ".SH OPTIONS\nThese are for all commands.\n"
  for _, group in ipairs(commands.groups) do
    io.write(".SS ", group.name, "\n")
    for _, option in ipairs(group.options) do item(label(option), option.description) end
  end
  io.write ".SH EXIT STATUS\n"
  for _, row in ipairs(exit.list) do
    item(("%d"):format(row.code), row.meaning:sub(1, 1):upper() .. row.meaning:sub(2) .. ".")
  end
  io.write ".SH ENVIRONMENT\n"
  for _, row in ipairs(commands.environment) do item(row[1], row[2]) end
  io.write ".SH FILES\n"
  item("~/.config/akool/key", "The API key, or lines AKOOL_...=VALUE, for when the environment "
    .. "has none; mode 600. $XDG_CONFIG_HOME/akool/key, where that is set.")
end

local kinds = { page = page, manual = manual }
if not kinds[arg[1]] then
  io.stderr:write "usage: lua5.4 scripts/cli-doc.lua page|manual\n"
  os.exit(2)
end
kinds[arg[1]].print()
