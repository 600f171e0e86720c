--- snippets: what a page shows as code, so that specs can run it.
---
---   local script = snippets.under("docs/embedding.md", "luv", "lua")[1].text

local snippets = {}

---@class spec.snippet
---@field name string      # page and line
---@field title string     # the heading that it stands under
---@field language string  # what stands behind its fence: lua, sh, …
---@field text string

--- All that a page shows, in its order.
---@param page string       # its path
---@param language? string  # only what is in this one
---@return spec.snippet[]
function snippets.of(page, language)
  local list, title, number, snippet = {}, "", 0, nil
  for line in io.lines(page) do
    number = number + 1
    local fence = line:match "^```(.*)$"
    if fence and snippet then
      snippet.text = table.concat(snippet, "\n") .. "\n"
      if not language or language == snippet.language then list[#list + 1] = snippet end
      snippet = nil
    elseif fence then
      snippet = { name = ("%s:%d"):format(page, number + 1), title = title, language = fence }
    elseif snippet then
      snippet[#snippet + 1] = line
    else
      title = line:match "^#+ (.+)$" or title
    end
  end
  return list
end

--- Those that stand under a heading. There must be some.
---@param page string
---@param title string
---@param language? string
---@return spec.snippet[]
function snippets.under(page, title, language)
  local list = {}
  for _, snippet in ipairs(snippets.of(page, language)) do
    if snippet.title == title then list[#list + 1] = snippet end
  end
  assert(#list > 0, ("%s shows no %s under %q"):format(page, language or "code", title))
  return list
end

return snippets
