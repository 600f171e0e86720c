-- keys: where credentials come from, which is never the command line: a file that nobody else can read,
-- standard input, or the environment.

local problem = require "akool.lipsync.cli.problem"

local keys = {}

local LONGEST = 4096 -- bytes of such a file
local NAMES = { AKOOL_API_KEY = "api_key", AKOOL_TOKEN = "token", AKOOL_CLIENT_ID = "client_id",
  AKOOL_CLIENT_SECRET = "client_secret" }

local function refuse(...)
  return nil, problem.usage(...)
end

--- Credentials in the text of a file: lines AKOOL_…=VALUE, or the API key alone.
local function parse(content, name)
  local found, bare = {}, nil
  for line in (content .. "\n"):gmatch "%s*(.-)%s*\n" do
    local variable, value = line:match "^([%u_]+)%s*=%s*(.*)$"
    if variable and NAMES[variable] then
      found[NAMES[variable]] = value:gsub('^"(.*)"$', "%1")
    elseif line ~= "" and line:sub(1, 1) ~= "#" then
      if bare then return refuse("%s should hold one key, and nothing else.", name) end
      bare = line
    end
  end
  if bare and next(found) then
    return refuse("%s should hold one key, or lines AKOOL_...=VALUE, but not both.", name)
  end
  if bare then found.api_key = bare end
  if not next(found) then return refuse("There is no key in %s.", name) end
  return found
end

--- What is in a file that only its owner can read.
local function read_private(uv, path)
  local fd, why = uv.fs_open(path, "r", 0)
  if not fd then return refuse("The key file cannot be opened: %s.", why) end
  local stat = uv.fs_fstat(fd)
  local content = stat and stat.size <= LONGEST and uv.fs_read(fd, LONGEST, 0)
  uv.fs_close(fd)
  if not content or stat.type ~= "file" then return refuse("%s is no key file.", path) end
  if stat.mode % 64 ~= 0 then
    return refuse("Others than you can read %s: say chmod 600 %s first.", path, path)
  end
  return parse(content, path)
end

local function with_luv(path)
  local err = problem.without_luv("Looking whether others can read " .. path)
  if err then return nil, err end
  return read_private(require "akool.lipsync.uv", path)
end

--- The file that is looked for when nothing else gives a key.
---@return string?
function keys.usual_file()
  local folder = os.getenv "XDG_CONFIG_HOME"
  if not folder or folder:sub(1, 1) ~= "/" then
    local home = os.getenv "HOME"
    folder = home and home ~= "" and home .. "/.config"
  end
  return folder and folder .. "/akool/key" or nil
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function in_environment()
  for name in pairs(NAMES) do
    if (os.getenv(name) or "") ~= "" then return true end
  end
  return false
end

--- Credentials as options of a client; an empty table when the environment has them, or nobody.
---@param given string?  # the option --key-file
---@return table? credentials
---@return akool.lipsync.Error?
function keys.find(given)
  if given == "-" then
    local content = io.stdin:read(LONGEST)
    return parse(content or "", "standard input")
  elseif given then
    return with_luv(given)
  end
  local usual = keys.usual_file()
  if not in_environment() and usual and exists(usual) then return with_luv(usual) end
  return {}
end

--- Where they came from, in words.
---@param given string?
---@return string
function keys.source(given)
  if given then return given == "-" and "standard input" or given end
  return in_environment() and "the environment" or keys.usual_file() or "nowhere"
end

return keys
