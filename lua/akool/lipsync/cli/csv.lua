-- csv: tables of RFC 4180. Fields may be in quotes, and then hold commas, line ends and doubled quotes;
-- lines end in LF, CRLF or CR; a byte order mark is not part of the first field.

local csv = {}

--- The field that begins at `at` in quotes: its text and where it ends, or nil and what is wrong.
local function quoted(source, at)
  local parts, start = {}, at + 1
  while true do
    local stop = source:find('"', start, true)
    if not stop then return nil, "a quoted field has no end" end
    parts[#parts + 1] = source:sub(start, stop - 1)
    if source:sub(stop + 1, stop + 1) ~= '"' then return table.concat(parts), stop + 1 end
    parts[#parts + 1], start = '"', stop + 2
  end
end

local function count_lines(source, from, to)
  local _, feeds = source:sub(from, to):gsub("\r?\n", "")
  local _, returns = source:sub(from, to):gsub("\r[^\n]", "")
  return feeds + returns
end

--- The records of a text: each a list of fields, and the number of the line that it begins in.
---@param source string
---@return { line: integer, [integer]: string }[]? records # empty lines are none
---@return { line: integer, message: string }? problem
function csv.read(source)
  local records, record = {}, { line = 1 }
  local at, line = source:sub(1, 3) == "\239\187\191" and 4 or 1, 1
  while at <= #source do
    local field, stop
    if source:sub(at, at) == '"' then
      field, stop = quoted(source, at)
      if not field then return nil, { line = line, message = stop } end
      line = line + count_lines(source, at, stop - 1)
    else
      stop = source:find("[,\r\n]", at) or #source + 1
      field = source:sub(at, stop - 1)
      if field:find('"', 1, true) then
        return nil, { line = line, message = "a quote inside a field that does not begin with one" }
      end
    end
    record[#record + 1] = field
    local ending = source:match("^\r?\n", stop) or source:match("^\r", stop)
    if ending or stop > #source then
      if #record > 1 or record[1] ~= "" then records[#records + 1] = record end
      line = line + 1
      record, at = { line = line }, stop + #(ending or "")
    elseif source:sub(stop, stop) == "," then
      at = stop + 1
      if at > #source then record[#record + 1] = "" end
    else
      return nil, { line = line, message = "something stands behind a closing quote" }
    end
  end
  if #record > 0 then records[#records + 1] = record end
  return records
end

--- One line of a table, with its end.
---@param fields any[]
---@param count integer
---@return string
function csv.line(fields, count)
  local out = {}
  for i = 1, count do
    local field = fields[i] == nil and "" or tostring(fields[i])
    if field:find '[",\r\n]' or field:find "^%s" or field:find "%s$" then
      field = '"' .. field:gsub('"', '""') .. '"'
    end
    out[i] = field
  end
  return table.concat(out, ",") .. "\r\n"
end

return csv
