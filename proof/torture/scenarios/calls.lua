-- calls: create, info, poll, and the token they may need.

local tools = require "scenarios.tools"

local scenario = tools.scenario
local new_client = tools.new_client
local client_with_job = tools.client_with_job
local ask_again = tools.ask_again
local is_job = tools.is_job

scenario("create", {
  creates = true,
  prepare = function(context)
    local client = new_client(context)
    return {
      act = function()
        return client:create { video_url = tools.video, audio_url = tools.audio,
          webhook_url = tools.video }
      end,
      expect = is_job,
      afterwards = ask_again(client),
    }
  end,
})

scenario("info", {
  prepare = function(context)
    local client, job = client_with_job(context)
    return {
      act = function() return client:info(job) end,
      expect = is_job,
      afterwards = ask_again(client),
    }
  end,
})

local function queued_then_busy_then_processing(service)
  assert(service:fail { at = "info", data = { video_status = 1, video = "" } })
  assert(service:fail { at = "info", status = 503 })
  assert(service:fail { at = "info", data = { video_status = 2, video = "" } })
end

scenario("poll to the end", {
  arrange = queued_then_busy_then_processing,
  prepare = function(context)
    local client, job = client_with_job(context, { max_retries = 3 })
    return {
      act = function()
        local told_of = {}
        for status, found in client:poll(job.id) do
          if status == "error" then return nil, found end
          told_of[#told_of + 1] = status
        end
        return told_of
      end,
      expect = function(told_of)
        assert(table.concat(told_of, " "):find "completed$") -- a failed request shows no status
      end,
      afterwards = ask_again(client),
    }
  end,
})

scenario("events", {
  arrange = queued_then_busy_then_processing,
  prepare = function(context)
    local events = {}
    local client, job = client_with_job(context, { max_retries = 3, on_event = function(event)
      events[#events + 1] = event
    end })
    local core = require "akool.lipsync.core"
    return {
      act = function()
        local engine, why = core.engine()
        if not engine then return nil, why end
        assert(engine:pollfd() > 0 and engine:events() == "r" and not engine:timeout())
        events = {}
        local found, err = client:wait(job.id)
        if not found then return nil, err end
        return events
      end,
      expect = function()
        -- Events are records of what happened: without memory some are missing.
        for _, event in ipairs(events) do
          assert(type(event.type) == "string" and type(event.at) == "number")
        end
      end,
      afterwards = ask_again(client),
    }
  end,
})

scenario("token", {
  prepare = function(context)
    local client = new_client(context,
      { client_id = context.client_id, client_secret = context.client_secret })
    return {
      act = function() return client:credits() end,
      expect = function(credits) assert(credits > 0) end,
      afterwards = ask_again(client),
    }
  end,
})

scenario("token renewed", {
  arrange = function(service)
    assert(service:fail { at = "credits", skip = 1, code = 1101 })
  end,
  prepare = function(context)
    local client = new_client(context,
      { client_id = context.client_id, client_secret = context.client_secret })
    assert(client:credits())
    return {
      act = function() return client:credits() end,
      expect = function(credits) assert(credits > 0) end,
      afterwards = ask_again(client),
    }
  end,
})
