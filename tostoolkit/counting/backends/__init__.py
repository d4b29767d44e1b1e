"""How a call is traced: one module for each backend of Keras, under the backend's name.

A module holds ``trace_call(call, by_user)`` and ``trace_step(read, step, by_user)``, as `trace`
describes them. It traces what Keras runs on that backend, on shapes alone, and gives each op of it
the kinds of op that it is; a table of the backend's op names stands beside it. Only this folder
imports a backend. Where it also holds ``trace_function(f, arguments)``, what is no Keras layer is
traced by it (`functions`). `shared` is what the modules have in common.
"""
