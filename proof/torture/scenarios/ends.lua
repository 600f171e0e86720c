-- ends: what is cancelled, closed or abandoned while it is under way.

local tools = require "scenarios.tools"

local scenario = tools.scenario
local new_client = tools.new_client
local client_with_job = tools.client_with_job
local end_and_ask_again = tools.end_and_ask_again
local is_true = tools.is_true
local step_until = tools.step_until
local state_of_engine = tools.state_of_engine
local cancel = tools.cancel

scenario("cancel queued", {
  arrange = function(service) assert(service:fail { at = "info", stall = "after" }) end,
  prepare = function(context)
    local client, job = client_with_job(context, { max_connections = 1 })
    local lipsync, tasks = require "akool.lipsync", { false, false }
    return {
      act = function()
        local function ask() return client:info(job) end
        tasks[1] = lipsync.spawn(ask)
        tasks[2] = lipsync.spawn(ask)
        step_until(state_of_engine "queued", tasks)
        local fine, err = cancel(tasks[2])
        local first, why = cancel(tasks[1])
        if first and fine then return true end
        return nil, err or why
      end,
      expect = is_true,
      afterwards = end_and_ask_again(client, tasks),
    }
  end,
})

scenario("cancel connecting", {
  prepare = function(context)
    local client = new_client(context, { base_url = context.mute })
    local lipsync, tasks = require "akool.lipsync", { false }
    return {
      act = function()
        tasks[1] = lipsync.spawn(function() return client:credits() end)
        step_until(state_of_engine "running", tasks)
        return cancel(tasks[1])
      end,
      expect = is_true,
      afterwards = end_and_ask_again(new_client(context), tasks),
    }
  end,
})

scenario("cancel waiting", {
  arrange = function(service)
    assert(service:fail { at = "info", data = { video_status = 2, video = "" } })
  end,
  prepare = function(context)
    local client, job = client_with_job(context, { poll = { first = 50, max = 50 } })
    local lipsync, tasks, waits = require "akool.lipsync", { false }, false
    return {
      act = function()
        tasks[1] = lipsync.spawn(function()
          return client:wait(job.id, { on_status = function() waits = true end })
        end)
        step_until(function() return waits end, tasks)
        return cancel(tasks[1])
      end,
      expect = is_true,
      afterwards = end_and_ask_again(client, tasks),
    }
  end,
})

scenario("cancel transferring", {
  arrange = function(service) assert(service:fail(tools.stall)) end,
  prepare = function(context)
    local client, job = client_with_job(context)
    job = assert(client:info(job))
    local path, begun = context.folder .. "/out.mp4", false
    local lipsync, tasks = require "akool.lipsync", { false }
    require "akool.lipsync.core".engine():close()
    return {
      act = function()
        tasks[1] = lipsync.spawn(function()
          return client:download(job, path, { on_progress = function() begun = true end })
        end)
        step_until(function() return begun end, tasks)
        return cancel(tasks[1])
      end,
      expect = is_true,
      afterwards = end_and_ask_again(client, tasks),
    }
  end,
})

local function everything_stalls(service)
  assert(service:fail { at = "info", skip = 1, data = { video_status = 2, video = "" } })
  assert(service:fail { at = "info", skip = 1, stall = "after" })
  assert(service:fail(tools.stall))
end

--- What puts three tasks under way: a poll that waits, an info that gets no answer, and a download
--- that stalls. Returns the client, the list that the tasks will be in, and what begins them.
local function everything(context)
  local client, job = client_with_job(context)
  job = assert(client:info(job))
  local lipsync, core = require "akool.lipsync", require "akool.lipsync.core"
  local tasks, waits, begun = { false, false, false }, false, false
  core.engine():close()
  return client, tasks, function()
    tasks[1] = lipsync.spawn(function()
      return client:wait(job.id, { poll = { first = 50, max = 50 },
        on_status = function() waits = true end })
    end)
    step_until(function() return waits end, tasks)
    tasks[2] = lipsync.spawn(function() return client:info(job) end)
    tasks[3] = lipsync.spawn(function()
      return client:download(job, context.folder .. "/out.mp4",
        { on_progress = function() begun = true end })
    end)
    step_until(function() return begun end, tasks)
  end
end

scenario("close", {
  arrange = everything_stalls,
  prepare = function(context)
    local client, tasks, begin = everything(context)
    local lipsync, core = require "akool.lipsync", require "akool.lipsync.core"
    return {
      act = function()
        local failure
        begin()
        local engine = core.engine()
        if engine then engine:close() end
        lipsync.step(0)
        for _, task in ipairs(tasks) do
          task:cancel() -- those that have not even begun
          local value, err = task:join()
          if value == nil and err.kind ~= "cancelled" then failure = err end
        end
        if failure then return nil, failure end
        return true
      end,
      expect = is_true,
      afterwards = end_and_ask_again(client, tasks),
    }
  end,
})

scenario("abandon", { -- the state is closed while all of it is under way
  arrange = everything_stalls,
  prepare = function(context)
    local _, _, begin = everything(context)
    return {
      act = function()
        begin()
        return true
      end,
      expect = is_true,
    }
  end,
})
