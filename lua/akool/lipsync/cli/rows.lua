-- rows: a list of jobs, as people write it (CSV or JSON lines), made into what a batch takes. Every line
-- that is wrong is found before anything is done with any.

local csv = require "akool.lipsync.cli.csv"
local json = require "akool.lipsync.cli.json"

local rows = {}

local COLUMNS = { "key", "video_url", "audio_url", "output", "webhook_url" }
local KNOWN = {}
for _, name in ipairs(COLUMNS) do KNOWN[name] = true end

local TOLD = 20 -- lines with problems; of more only the number

---@class akool.lipsync.cli.RowsOptions
---@field format "csv"|"jsonl"|nil # by default what the name of the file, or else the text, looks like
---@field video string?   # of every row
---@field output string?  # a pattern: {key}, {n} and the names of columns
---@field force boolean?

-- Problems ----------------------------------------------------------------------------------------

local function complain(problems, line, message, ...)
  problems[#problems + 1] = { line = line,
    message = select("#", ...) > 0 and message:format(...) or message }
end

--- All problems as one text, each with its line.
local function tell(problems)
  table.sort(problems, function(a, b) return a.line < b.line end)
  local lines = {}
  for i, problem in ipairs(problems) do
    if i > TOLD then
      lines[#lines + 1] = ("... and %d more"):format(#problems - TOLD)
      break
    end
    lines[#lines + 1] = ("line %d: %s"):format(problem.line, problem.message)
  end
  return table.concat(lines, "\n")
end

-- Reading -----------------------------------------------------------------------------------------

local function is_url(field)
  return field:lower():find "^https?://" ~= nil
end

--- The names of the columns when the first record does not name them.
local function usual_names(first, has_video)
  local names = {}
  if not is_url(first[1]) then names[1] = "key" end
  if not has_video then names[#names + 1] = "video_url" end
  for _, name in ipairs { "audio_url", "output", "webhook_url" } do names[#names + 1] = name end
  return names
end

--- The names in a record, if it is a heading: one that has a name we know, and no URL.
local function heading(record)
  local names, is_one = {}, false
  for i, field in ipairs(record) do
    names[i] = field:lower():gsub("^%s+", ""):gsub("%s+$", "")
    is_one = is_one or KNOWN[names[i]] or false
    if is_url(field) then return nil end
  end
  return is_one and names or nil
end

--- The first name that stands for two columns, or nil.
local function first_twice(names)
  local seen = {}
  for _, name in ipairs(names) do
    if seen[name] and KNOWN[name] then return name end
    seen[name] = true
  end
end

local function read_csv(source, has_video, problems)
  local records, problem = csv.read(source)
  if not records then
    complain(problems, problem.line, problem.message)
    return {}
  end
  local first, list = records[1], {}
  local names = first and heading(first)
  if names then
    table.remove(records, 1)
    local twice = first_twice(names)
    if twice then
      complain(problems, first.line, "two columns are called %s", twice)
      return {}
    end
  end
  names = names or first and usual_names(first, has_video)
  for _, record in ipairs(records) do
    local row = { line = record.line, fields = {} }
    for i, field in ipairs(record) do
      if names[i] == nil and field ~= "" then
        complain(problems, record.line, "%d fields, but there are %d columns (%s)", #record, #names,
          table.concat(names, ", "))
        break
      end
      if field ~= "" then row.fields[names[i]] = field end
    end
    list[#list + 1] = row
  end
  return list
end

--- A value of a JSON document as the text of a field, or nil.
local function scalar(value)
  if type(value) == "number" then return (value % 1 == 0 and "%.0f" or "%.14g"):format(value) end
  return type(value) == "string" and value or nil
end

local function read_jsonl(source, problems)
  local list, number = {}, 0
  source = source:gsub("^\239\187\191", "")
  for line in (source .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    local document, why = nil, nil
    if line:find "%S" then document, why = json.decode(line) end
    if type(document) == "table" and document[1] == nil then
      local row = { line = number, fields = {} }
      for name, value in pairs(document) do
        row.fields[name] = scalar(value)
        if KNOWN[name] and scalar(value) == nil then
          complain(problems, number, "%s should be a string, not a %s", name, type(value))
        end
      end
      list[#list + 1] = row
    elseif line:find "%S" then
      complain(problems, number, why and "this is not JSON: %s" or "a JSON object expected", why)
    end
  end
  return list
end

--- What a text looks like.
local function guess(source, name)
  local ending = (name or ""):lower():match "%.([^.]*)$"
  if ending == "csv" then return "csv" end
  if ending == "jsonl" or ending == "ndjson" then return "jsonl" end
  return source:find "^[\239\187\191%s]*{" and "jsonl" or "csv"
end

-- Rows --------------------------------------------------------------------------------------------

--- The name of a file in a URL, without its ending, fit for a key.
local function stem(url)
  local name = url:match "^[^?#]*":match "([^/]*)/*$" or ""
  name = name:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
  name = name:gsub("%.%w+$", "")
  name = name:gsub("[^%w._\128-\255-]+", "_"):gsub("^[._]+", "")
  return name ~= "" and name or "file"
end

--- The key of a row that has none: the names of its video and its voice; of its voice alone, when
--- all rows share the video. It depends on nothing but the row, so that the same line added again is the
--- same job.
---@param video string?  # nil: shared
---@param audio string
---@return string
function rows.key_of(video, audio)
  if video == nil then return stem(audio) end
  return stem(video) .. "-" .. stem(audio)
end

--- A field for the name of a file: it must not lead elsewhere.
local function harmless(field)
  return (field:gsub("[/\\%c]", "_"):gsub("^%.+", "_"))
end

--- The name that a pattern makes, or nil and the name that it has no field for.
local function fill(pattern, fields, n)
  local absent
  local name = pattern:gsub("{([%w_-]+)}", function(field)
    local value = field == "n" and tostring(n) or fields[field]
    if not value then absent = absent or field end
    return value and harmless(value) or ""
  end)
  if absent then return nil, absent end
  return name
end

--- What is wrong with the URL in a field, or nil.
local function check_url(fields, name, problems, line)
  local url = fields[name]
  if not url then return complain(problems, line, "%s is missing", name) end
  if not is_url(url) then
    complain(problems, line, "%s is no http(s) URL, which it has to be for the service to get it",
      name)
  elseif url:find "[%s%c]" then
    complain(problems, line, "%s has a space or a control character in it", name)
  end
end

--- What a batch takes, of one row.
local function item_of(row, n, options, problems)
  local fields, line = row.fields, row.line
  if options.video and fields.video_url then
    complain(problems, line, "video_url is there, but --video gives it already")
  end
  fields.video_url = fields.video_url or options.video
  local before = #problems
  check_url(fields, "video_url", problems, line)
  check_url(fields, "audio_url", problems, line)
  if fields.webhook_url then check_url(fields, "webhook_url", problems, line) end
  if #problems > before then return nil end
  fields.key = fields.key
    or rows.key_of(not options.video and fields.video_url or nil, fields.audio_url)
  if fields.key:find "%c" then complain(problems, line, "the key has a control character in it") end
  local output, absent = fields.output, nil
  if not output and options.output then output, absent = fill(options.output, fields, n) end
  if absent then complain(problems, line, "nothing stands for {%s} of --output", absent) end
  return { key = fields.key, video_url = fields.video_url, audio_url = fields.audio_url,
    output = output, webhook_url = fields.webhook_url, force = options.force }
end

--- Nothing that has to be one row's alone may be in two.
local function check_twins(items, lines, problems)
  for _, field in ipairs { "key", "output" } do
    local seen = {}
    for i, item in ipairs(items) do
      local value = item[field]
      if value and seen[value] then
        complain(problems, lines[i], "the %s %q is that of line %d, too", field, value, seen[value])
      elseif value then
        seen[value] = lines[i]
      end
    end
  end
end

--- What a batch takes, of a text with one job in each line.
---@param source string
---@param name string?  # of the file it came from
---@param options akool.lipsync.cli.RowsOptions
---@return table[]? items       # for batch:add
---@return integer[]|string lines # of these; or what is wrong, and where
function rows.read(source, name, options)
  local problems, items, lines = {}, {}, {}
  local format = options.format or guess(source, name)
  local list = format == "jsonl" and read_jsonl(source, problems)
    or read_csv(source, options.video ~= nil, problems)
  for n, row in ipairs(list) do
    local item = item_of(row, n, options, problems)
    if item then items[#items + 1], lines[#lines + 1] = item, row.line end
  end
  check_twins(items, lines, problems)
  if #problems > 0 then return nil, tell(problems) end
  return items, lines
end

return rows
