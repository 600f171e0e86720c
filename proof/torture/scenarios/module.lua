-- module: loading the library, and making clients.

local tools = require "scenarios.tools"

local scenario = tools.scenario
local is_error = tools.is_error
local is_about_memory = tools.is_about_memory
local new_client = tools.new_client
local ask_again = tools.ask_again

scenario("load", {
  prepare = function(context)
    return {
      act = function() return require "akool.lipsync" end,
      expect = function(lipsync) assert(type(lipsync.new) == "function") end,
      afterwards = function() ask_again(new_client(context))() end,
    }
  end,
})

local MISUSES = {
  { tmeout = 1 }, { timeout = "1" }, { poll = { frist = 1 } }, { poll = { factor = 0 } },
  { max_retries = 1.5 }, { proxy = 1 }, { on_event = 1 }, { ca_file = "a\nb" },
}

local REFUSED = {
  { base_url = "ftp://127.0.0.1" }, { base_url = "http://a.example" }, { api_key = "a\nb" },
  { client_id = "without a secret" }, {},
}

scenario("options", {
  prepare = function(context)
    local lipsync = require "akool.lipsync"
    local function nothing() end
    local all = {
      api_key = "key", base_url = context.url .. "/", connect_timeout = 1, timeout = 2.5,
      create_timeout = 3, stall_timeout = 4, wait_timeout = 5, max_retries = 6,
      poll = { first = 1, factor = 2, max = 3, jitter = 0.1 }, max_connections = 7,
      proxy = "http://127.0.0.1:1", ca_file = "/dev/null", user_agent = "torture", max_bytes = 1e6,
      allow_http = true, allow_private = true, overwrite = true, resume = false,
      on_status = nothing, on_progress = nothing, on_event = nothing,
    }
    return {
      act = function()
        for _, given in ipairs(MISUSES) do
          local ok, why = pcall(lipsync.new, given)
          assert(not ok)
          if is_about_memory(why) then error(why, 0) end
        end
        for _, given in ipairs(REFUSED) do
          local client, err = lipsync.new(given)
          assert(not client)
          if not is_error(err) or is_about_memory(err.message) then return nil, err end
        end
        local client, err = lipsync.new { client_id = "id", client_secret = "secret" }
        if client then client, err = lipsync.new { token = function() return "token" end } end
        if client then client, err = lipsync.new(all) end
        return client, err
      end,
      expect = function(client) assert(tostring(client):find(context.url, 1, true)) end,
      afterwards = function() ask_again(new_client(context))() end,
    }
  end,
})
