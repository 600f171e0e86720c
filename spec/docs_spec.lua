-- docs: what is written about the library is true. Every public name is documented and every
-- documented name exists, the tables are those of the code, and every example runs.

local batch = require "akool.lipsync.batch"
local child = require "support.child"
local core = require "akool.lipsync.core"
local faults = require "akool.lipsync.mock.faults"
local ledger = require "akool.lipsync.ledger"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local mock = require "akool.lipsync.mock"
local options = require "akool.lipsync.options"
local snippets = require "support.snippets"
local uv = require "luv"
local webhook = require "akool.lipsync.webhook"

local TREE = lfs.currentdir()
local HOSTS = "docs/embedding.md" -- what it shows is run by spec/hosts, in each of the programs

-- Reading ------------------------------------------------------------------------------------

local function read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read "*a"
  file:close()
  return content
end

local function each_line(text)
  return (text .. "\n"):gmatch "(.-)\r?\n"
end

--- The files of a folder whose names end so, with their paths, sorted.
local function files(folder, ending)
  local paths = {}
  for name in lfs.dir(folder) do
    if name:sub(-#ending) == ending then paths[#paths + 1] = folder .. "/" .. name end
  end
  table.sort(paths)
  return paths
end

--- The text of a page in parts: a list of { title =, lines = }, without the code blocks.
local function sections(path)
  local list, fenced = {}, false
  for line in each_line(read(path)) do
    if line:find "^```" then fenced = not fenced end
    local title = not fenced and line:match "^#+ (.+)$"
    if title then
      list[#list + 1] = { title = title, lines = {} }
    elseif not fenced and #list > 0 then
      table.insert(list[#list].lines, line)
    end
  end
  return list
end

--- The first table of a section whose first column has this head: a list of rows of cells, in which
--- no cell keeps its backquotes.
local function find_table(path, title, head)
  for _, section in ipairs(sections(path)) do
    local rows
    for _, line in ipairs(section.title == title and section.lines or {}) do
      local cells = {}
      for cell in line:gmatch "| *([^|]-) *%f[|]" do cells[#cells + 1] = cell:gsub("`", "") end
      if not rows and line:find("| " .. head .. " |", 1, true) == 1 then
        rows = {}
      elseif rows and #cells == 0 then
        return rows
      elseif rows and not line:find "^| %-%-%-" then
        rows[#rows + 1] = cells
      end
    end
  end
  error(("%s has no table of every %s under %s"):format(path, head, title))
end

--- The names in the first column of a table: several may share a row.
local function first_column(rows)
  local names = {}
  for _, row in ipairs(rows) do
    for name in row[1]:gmatch "[%w_]+" do names[name] = true end
  end
  return names
end

--- The fields that the annotations of a class name, in the order in which they stand.
local function annotated(path, class)
  local text, names = read(path), {}
  local start = assert(select(2, text:find("---@class " .. class .. "\n", 1, true)))
  for line in each_line(text:sub(start + 1)) do
    local name = line:match "^%-%-%-@field ([%w_]+)"
    if not name then break end
    names[name] = true
  end
  return names
end

--- The names in one set that are not in another, sorted.
local function missing(wanted, there)
  local names = {}
  for name in pairs(wanted) do
    if not there[name] then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function assert_equal_sets(expected, found)
  assert.same({ missing = {}, unknown = {} },
    { missing = missing(expected, found), unknown = missing(found, expected) })
end

--- Add the public keys of a table to a set, each behind a prefix.
local function add_names(set, prefix, from)
  for name in pairs(from) do
    if name == "_VERSION" or name:sub(1, 2) ~= "__" then set[prefix .. name] = true end
  end
end

local function methods(object)
  return debug.getmetatable(object).__index -- getmetatable is not for programs
end

-- Running ------------------------------------------------------------------------------------

local CLEARED = { "LUA_PATH_5_2", "LUA_CPATH_5_2", "LUA_PATH_5_3", "LUA_CPATH_5_3", "LUA_PATH_5_4",
  "LUA_CPATH_5_4", "LUA_INIT", "AKOOL_TOKEN", "AKOOL_CLIENT_ID", "AKOOL_CLIENT_SECRET",
  "AKOOL_LOG" }

--- A search path in which every template begins at the root.
local function absolute(path)
  return (path:gsub("[^;]+", function(template)
    return template:sub(1, 1) == "/" and template or TREE .. "/" .. template
  end))
end

--- Start a Lua program in a folder; returns what waits for its end.
local function start(folder, words, environment)
  local all = { LUA_PATH = absolute(package.path), LUA_CPATH = absolute(package.cpath) }
  for _, name in ipairs(CLEARED) do all[name] = false end
  for name, value in pairs(environment) do all[name] = value end
  local script, arguments = words[1], {}
  for i = 2, #words do arguments[i - 1] = words[i] end
  return child.start(script, { folder = folder, environment = all, arguments = arguments })
end

--- Raise when a program has printed one of our errors.
local function assert_no_error(said)
  for _, rows in ipairs { core.codes(), core.causes() } do
    for _, row in ipairs(rows) do
      assert(not said:find(row.kind .. "/" .. row.name, 1, true), said)
    end
  end
end

--- A port that is free.
local function free_port()
  local socket = uv.new_tcp()
  socket:bind("127.0.0.1", 0)
  local port = socket:getsockname().port
  socket:close()
  uv.run "nowait"
  return port
end

local STAND_INS = {
  VIDEO_URL = "https://example.com/clip.mp4", AUDIO_URL = "https://example.com/voice.wav",
  OUTPUT = "out.mp4", LIST = TREE .. "/examples/forty.csv",
}

--- How an example says in its head that it is called: a list of { name =, words = }. A way that
--- needs something that we do not have is left out.
local function usages(path)
  local list = {}
  for line in each_line(read(path)) do
    local call = line:match "^%-%-%s+lua[%d.]* (examples/.+)$"
    local words, possible = {}, call ~= nil
    for word in (call or ""):gmatch "%S+" do
      possible = possible and (STAND_INS[word] or not word:find "^%[?%u[%u_]+")
      words[#words + 1] = STAND_INS[word] or word
    end
    if possible then
      words[1] = TREE .. "/" .. words[1]
      list[#list + 1] = { name = call, words = words }
    end
  end
  return list
end

--- Everything that can be run here.
local function programs()
  local list, pages = {}, files("docs", ".md")
  table.insert(pages, 1, "README.md")
  for _, page in ipairs(pages) do
    if page ~= HOSTS then
      for _, snippet in ipairs(snippets.of(page, "lua")) do list[#list + 1] = snippet end
    end
  end
  for _, example in ipairs(files("examples", ".lua")) do
    for _, usage in ipairs(usages(example)) do list[#list + 1] = usage end
  end
  return list
end

-- Specs --------------------------------------------------------------------------------------

describe("the reference", function()
  local PAGE = "docs/reference.md"
  local service, public, headings

  setup(function()
    service = assert(mock.start())
    local client = assert(lipsync.new { api_key = service.api_key, base_url = service.url })
    local job = assert(client:create { video_url = "https://example.com/clip.mp4",
      audio_url = "https://example.com/voice.wav" })
    local task = lipsync.spawn(function() end)
    task:join()
    local account = { client_id = "id", client_secret = ("secret"):rep(4) }
    local event = assert(webhook.open(assert(webhook.seal({ id = job.id, status = "failed" },
      account)), account))

    public, headings = {}, {}
    add_names(public, "lipsync.", lipsync)
    add_names(public, "client:", methods(client))
    add_names(public, "job:", methods(job))
    add_names(public, "task:", methods(task))
    add_names(public, "mock.", mock)
    add_names(public, "service:", methods(service))
    add_names(public, "webhook.", webhook)
    add_names(public, "event:", methods(event))
    public["receiver:close"] = true -- the rest is for the library
    public["mock.serve_pipes"] = nil -- the other end of the handle, in its own process
    for _, section in ipairs(sections(PAGE)) do
      for name in section.title:gmatch "%l+[.:][%w_]+" do headings[name] = true end
    end
  end)

  teardown(function()
    service:stop()
    core.engine():close()
  end)

  it("has a heading for every public name", function()
    assert.same({}, missing(public, headings))
  end)

  it("has no heading for a name that does not exist", function()
    assert.same({}, missing(headings, public))
  end)

  --- The default of an option as the page shows it.
  local function shown(row)
    local value = row.default
    if value == nil then return "none" end
    if row.name == "poll" then
      return ("{ first = %g, factor = %g, max = %g, jitter = %g }"):format(value.first,
        value.factor, value.max, value.jitter)
    end
    if type(value) == "number" then return ("%.14g"):format(value) end
    return (tostring(value):gsub("/" .. core._VERSION:gsub("%p", "%%%0"), "/VERSION"))
  end

  it("has every option with its default and where it may be given, and no other", function()
    local expected, found = {}, {}
    for _, row in ipairs(options.list) do
      expected[row.name] = shown(row) .. ", " .. (row.scope == "client" and "new" or row.scope)
    end
    for _, row in ipairs(find_table(PAGE, "Options", "option")) do
      found[row[1]] = row[2] .. ", " .. row[3]
    end
    assert.same(expected, found)
  end)

  it("has every field of a job, of an error and of a file, and no other", function()
    assert_equal_sets(annotated("lua/akool/lipsync/job.lua", "akool.lipsync.Job"),
      first_column(find_table(PAGE, "Jobs", "field")))
    assert_equal_sets(annotated("lua/akool/lipsync/client.lua", "akool.lipsync.Error"),
      first_column(find_table(PAGE, "Errors", "field")))
    local fields = {}
    for name in read(PAGE):gmatch "`file%.([%w_]+)`" do fields[name] = true end
    assert_equal_sets(annotated("lua/akool/lipsync/download.lua", "akool.lipsync.File"), fields)
  end)

  it("has every field of an event, and every option of webhooks, and no other", function()
    local source = "lua/akool/lipsync/webhook.lua"
    assert_equal_sets(annotated(source, "akool.lipsync.WebhookEvent"),
      first_column(find_table(PAGE, "Webhooks", "field")))
    assert_equal_sets(annotated(source, "akool.lipsync.WebhookOptions"),
      first_column(find_table(PAGE, "webhook.open", "option")))
    assert_equal_sets(annotated(source, "akool.lipsync.WebhookSeal: akool.lipsync.WebhookOptions"),
      first_column(find_table(PAGE, "webhook.seal", "option")))
  end)

  it("has every kind of error, and no other", function()
    local kinds = {}
    for _, rows in ipairs { core.codes(), core.causes() } do
      for _, row in ipairs(rows) do kinds[row.kind] = true end
    end
    assert_equal_sets(kinds, first_column(find_table(PAGE, "Errors", "kind")))
  end)

  it("has no option and no fault of the mock service that does not exist", function()
    local unknown = {}
    for name in pairs(first_column(find_table(PAGE, "mock.start", "option"))) do
      local started, why = pcall(mock.start, { [name] = {} }) -- no option takes a table
      if started or why:find "has no option" then unknown[#unknown + 1] = name end
    end
    for name in pairs(first_column(find_table(PAGE, "webhook.listen", "option"))) do
      local _, why = pcall(webhook.listen, { [name] = {} }) -- no option but seen takes a table
      if tostring(why):find "unknown" then unknown[#unknown + 1] = name end
    end
    for name in pairs(first_column(find_table(PAGE, "service:fail", "key"))) do
      local _, why = faults.new():order { [name] = {} }
      if why and why:find "a fault has no" then unknown[#unknown + 1] = name end
    end
    assert.same({}, unknown)
  end)
end)

describe("the page about batches", function()
  local PAGE = "docs/batch.md"

  it("has every option and every field, and no other", function()
    local source = "lua/akool/lipsync/batch.lua"
    assert_equal_sets(annotated(source, "akool.lipsync.BatchOptions"),
      first_column(find_table(PAGE, "batch.open", "option")))
    assert_equal_sets(annotated(source, "akool.lipsync.RunOptions"),
      first_column(find_table(PAGE, "Running", "option")))
    assert_equal_sets(annotated("lua/akool/lipsync/ledger.lua", "akool.lipsync.Item"),
      first_column(find_table(PAGE, "Rows", "field")))
    local row = {}
    for _, cells in ipairs(find_table(PAGE, "Rows", "column")) do
      for name in cells[1]:gmatch "[%w_]+" do row[name] = true end
    end
    assert_equal_sets(annotated("lua/akool/lipsync/ledger/record.lua", "akool.lipsync.Row"), row)
  end)

  it("has options that a batch takes", function()
    local b = assert(batch.open ":memory:")
    for name in pairs(first_column(find_table(PAGE, "batch.open", "option"))) do
      local _, why = pcall(batch.open, ":memory:", { [name] = print }) -- none takes a function
      assert.is_truthy(tostring(why):find("option " .. name, 1, true), why)
    end
    for name in pairs(first_column(find_table(PAGE, "Running", "option"))) do
      local _, why = pcall(b.run, b, { [name] = 1 })
      assert.is_truthy(tostring(why):find("option " .. name, 1, true), why)
    end
    b:close()
  end)

  it("has every state and every method, and no other", function()
    local states = {}
    for _, state in ipairs(ledger.STATES) do states[state] = true end
    assert_equal_sets(states, first_column(find_table(PAGE, "The life of a row", "state")))
    local b, public, said = assert(batch.open ":memory:"), {}, {}
    for name in pairs(methods(b)) do
      if name:sub(1, 2) ~= "__" then public[name] = true end
    end
    for name in read(PAGE):gmatch "`b:([%w_]+)%(" do said[name] = true end
    assert_equal_sets(public, said)
    b:close()
  end)

  it("has every event, and no other", function()
    local told, said = {}, {}
    for _, path in ipairs { "run", "steps" } do
      local text = read("lua/akool/lipsync/batch/" .. path .. ".lua")
      for name in text:gmatch ':tell_?r?o?w?%("(%l+)"' do told[name] = true end
    end
    for _, state in ipairs { "failed", "unknown", "expired" } do told[state] = true end
    for _, cells in ipairs(find_table(PAGE, "Running", "event.type")) do
      for name in cells[1]:gmatch "%l+" do said[name] = true end
    end
    assert_equal_sets(told, said)
  end)
end)

describe("the page about other programs", function()
  it("shows nothing that no spec runs", function()
    local specs, unrun = "", {}
    for _, path in ipairs(files("spec/hosts", "_spec.lua")) do specs = specs .. read(path) end
    for _, snippet in ipairs(snippets.of(HOSTS)) do
      local named = ("%q, %q)"):format(snippet.title, snippet.language)
      if snippet.language ~= "sh" and not specs:find(named, 1, true) then
        unrun[#unrun + 1] = snippet.name
      end
    end
    assert.same({}, unrun)
  end)
end)

describe("the types of the core", function()
  it("have every function and every field of the module, and no other", function()
    local engine, expected, found = core.engine(), {}, {}
    local op = core.sleep(0)
    for name, value in pairs(core) do
      expected[(type(value) == "function" and "core." or "field ") .. name] = true
    end
    add_names(expected, "Engine.", methods(engine))
    add_names(expected, "Client.", methods(assert(core.client("https://example.com", false))))
    add_names(expected, "Settings.", methods(options.settings(options.merge())))
    add_names(expected, "Op.", methods(op))
    op:cancel()
    engine:close()
    local text = read "types/core.lua"
    for class, name in text:gmatch "\nfunction (%w+)[.:]([%w_]+)" do
      found[class .. "." .. name] = true
    end
    for name in pairs(annotated("types/core.lua", "akool.lipsync.core")) do
      found["field " .. name] = true
    end
    assert_equal_sets(expected, found)
  end)
end)

describe("the annotations", function()
  it("stand before every public function", function()
    local bare, public = {}, { lipsync = true, Client = true, Task = true, Job = true, mock = true,
      webhook = true, Receiver = true, Event = true, handle = true, core = true, Engine = true,
      Op = true }
    local sources = files("lua/akool/lipsync", ".lua")
    table.insert(sources, "lua/akool/lipsync.lua")
    table.insert(sources, "lua/akool/lipsync/webhook/receiver.lua")
    table.insert(sources, "types/core.lua")
    for _, path in ipairs(sources) do
      local before = ""
      for line in each_line(read(path)) do
        local class, name = line:match "^function (%w+)[.:]([%w_]+)"
        if public[class] and name:sub(1, 2) ~= "__" and not before:find "^%-%-%-" then
          bare[#bare + 1] = ("%s: %s.%s"):format(path, class, name)
        end
        before = line
      end
    end
    assert.same({}, bare)
  end)
end)

describe("the table of errors", function()
  -- Every code that Akool documents but 1000, which is success.
  local DOCUMENTED = {
    1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1013, 1014, 1015, 1016, 1017,
    1101, 1102, 1103, 1104, 1105, 1108, 1109, 1110, 1111, 1112,
    1200, 1201, 1202, 1203, 1204, 1205, 1206, 1207, 1208, 1209, 1210, 1211, 1212, 1213,
    1214, 1215, 1216, 1217, 1218, 1219, 1220, 1221, 1222, 1223,
  }

  it("has every code that the service documents, and no other", function()
    local documented, known = {}, {}
    for _, code in ipairs(DOCUMENTED) do documented[code] = true end
    for _, row in ipairs(core.codes()) do known[row.code] = true end
    assert_equal_sets(documented, known)
  end)

  it("is what docs/errors.md shows", function()
    local said, status = start(TREE, { "scripts/errors-doc.lua" }, {})()
    assert.equal(0, status, said)
    if said ~= read "docs/errors.md" then
      error "docs/errors.md is out of date: lua5.4 scripts/errors-doc.lua > docs/errors.md"
    end
  end)
end)

describe("the examples", function()
  local list, service, folder = programs(), nil, nil

  -- They poll as a real program does, with seconds in between, so all of them run side by side.
  setup(function()
    service = assert(mock.start { queue = 0, process = 0, credits = 1000000 })
    folder = os.tmpname()
    os.remove(folder)
    assert(lfs.mkdir(folder))
    for i, program in ipairs(list) do
      program.folder = ("%s/%d"):format(folder, i)
      assert(lfs.mkdir(program.folder))
      if program.text then
        program.words = { "example.lua" }
        local file = assert(io.open(program.folder .. "/example.lua", "wb"))
        assert(file:write(program.text))
        file:close()
      end
      local port = free_port()
      program.finish = start(program.folder, program.words, { AKOOL_BASE_URL = service.url,
        AKOOL_API_KEY = service.api_key, AKOOL_CLIENT_ID = service.client_id,
        AKOOL_CLIENT_SECRET = service.client_secret, WEBHOOK_PORT = tostring(port),
        WEBHOOK_URL = ("http://127.0.0.1:%d/akool"):format(port) })
    end
  end)

  teardown(function()
    for _, program in ipairs(list) do
      for name in lfs.dir(program.folder) do os.remove(program.folder .. "/" .. name) end
      lfs.rmdir(program.folder)
    end
    lfs.rmdir(folder)
    service:stop()
  end)

  for _, program in ipairs(list) do
    it(("run: %s"):format(program.name), function()
      local said, status = program.finish()
      assert(status == 0, said)
      assert_no_error(said)
    end)
  end

  it("all say in their head how they can be run", function()
    local silent = {}
    for _, path in ipairs(files("examples", ".lua")) do
      if #usages(path) == 0 then silent[#silent + 1] = path end
    end
    assert.same({}, silent)
  end)
end)
