;; out[r] = sum over k of W[r, k] v[k], for a number of rows of `bytes` bytes each, a multiple of 32.
;; w, v and out are places in the memory. Assembled into generate.js by: wat2wasm product.wat
(module
  (memory (export "memory") 1)
  (func (export "product")
    (param $w i32) (param $v i32) (param $out i32) (param $rows i32) (param $bytes i32)
    (local $k i32) (local $s v128) (local $t v128)
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $s (v128.const f32x4 0 0 0 0))
        (local.set $t (v128.const f32x4 0 0 0 0))
        (local.set $k (i32.const 0))
        (block $summed
          (loop $column
            (br_if $summed (i32.ge_u (local.get $k) (local.get $bytes)))
            (local.set $s (f32x4.add (local.get $s) (f32x4.mul
              (v128.load (i32.add (local.get $w) (local.get $k)))
              (v128.load (i32.add (local.get $v) (local.get $k))))))
            (local.set $t (f32x4.add (local.get $t) (f32x4.mul
              (v128.load offset=16 (i32.add (local.get $w) (local.get $k)))
              (v128.load offset=16 (i32.add (local.get $v) (local.get $k))))))
            (local.set $k (i32.add (local.get $k) (i32.const 32)))
            (br $column)))
        (local.set $s (f32x4.add (local.get $s) (local.get $t)))
        (f32.store (local.get $out) (f32.add
          (f32.add (f32x4.extract_lane 0 (local.get $s)) (f32x4.extract_lane 1 (local.get $s)))
          (f32.add (f32x4.extract_lane 2 (local.get $s)) (f32x4.extract_lane 3 (local.get $s)))))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $w (i32.add (local.get $w) (local.get $bytes)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row)))))
