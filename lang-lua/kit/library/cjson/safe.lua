---@meta cjson.safe
-- As `cjson`, with nil and a message in the place of errors.

---@class cjson.SafeLib: cjson.Lib
---@field encode fun(value: any): string?, string?
---@field decode fun(text: string): any, string?

---@type cjson.SafeLib
local safe = {}

return safe
