-- waits: for whichever of many ops has news, and for a signal.

local tools = require "scenarios.tools"

local scenario = tools.scenario

--- Add an op to the group, or say why there is none.
local function add(group, tag, op, err)
  if not op then return err end
  group:add(op, tag)
end

--- What a group tells until it is empty: how many ops were done, and the error of one that failed.
local function gather(group)
  local done, failure = 0, nil
  while true do
    local tag, kind, value = group:next()
    if not tag then
      assert(kind == "empty", kind)
      return done, failure
    end
    if kind == "done" then done = done + 1 end
    if kind == "failed" then failure = value end
  end
end

scenario("group", {
  arrange = function(service)
    assert(service:fail { at = "info", data = { video_status = 2, video = "" } })
  end,
  prepare = function(context)
    local client, job = tools.client_with_job(context)
    local core, lipsync = require "akool.lipsync.core", require "akool.lipsync"
    local groups, group, tasks = require "akool.lipsync.group", nil, { false }
    local go_on = tools.end_and_ask_again(client, tasks)
    return {
      act = function()
        tasks[1] = lipsync.spawn(function()
          group = groups.new()
          local problem = add(group, "job", client.core:poll(client.settings, job.id, 0))
          for i = 1, 3 do problem = problem or add(group, i, core.sleep(0.001 * i)) end
          if problem then return nil, problem end
          local done, failure = gather(group)
          if failure then return nil, failure end
          return done
        end)
        return tasks[1]:join()
      end,
      expect = function(done) assert(done == 4) end,
      afterwards = function()
        go_on()
        if group then gather(group) end -- its ops went on
        group = nil
      end,
    }
  end,
})

scenario("interruption", {
  prepare = function(context)
    local client = tools.new_client(context)
    local core, loop, uv = require "akool.lipsync.core", require "akool.lipsync.loop", require "luv"
    local op, sent
    return {
      act = function()
        local err
        op, err = core.interruption()
        if not op then return nil, err end
        uv.kill(uv.os_getpid(), "sigterm")
        sent = true
        local kind, value = loop.next(op)
        if kind == "failed" then return nil, value end
        return value
      end,
      expect = function(value) assert(value == "SIGTERM") end,
      afterwards = function()
        if sent then assert(select(2, loop.next(op)) == "SIGTERM") end
        op = nil
        collectgarbage()
        assert(core.interruption()):cancel()
        tools.ask_again(client)()
      end,
    }
  end,
})
