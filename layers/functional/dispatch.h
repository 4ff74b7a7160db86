// layers/functional/dispatch.h — from a tensor's dtype to the kernel's template argument.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// Calls f(T{}) with T = float or bf16. A plain function with a generic lambda: a debugger can step into it.
template <class F>
void for_storage(const char* operation, DType t, F&& f) {
  if (t == DType::f32) return f(float{});
  if (t == DType::bf16) return f(bf16{});
  throw Error(str(operation, ": expected f32 or bf16, got ", name_of(t)));
}

}  // namespace bonafide::fn
