package arena

import (
	"fmt"
	"reflect"
	"unsafe"
)

// sizeOf returns the size of a type in bytes. It panics when the type has
// pointers, or no size.
func sizeOf[T any]() int {
	t := reflect.TypeFor[T]()
	if !plain(t) {
		panic(fmt.Sprintf("arena: %s has pointers: the garbage collector would not see them", t))
	}
	var zero T
	n := int(unsafe.Sizeof(zero))
	if n == 0 {
		panic(fmt.Sprintf("arena: %s has no size", t))
	}
	return n
}

func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// view returns memory as a slice of as many elements as fit. The memory is
// aligned for every type: a mapping, or a block of a size class of 16 bytes.
func view[T any](mem []byte, size int) []T {
	n := len(mem) / size
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

// view8 returns the bytes of the units of a slab.
func view8(units [][SlabUnit]byte) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(units))), len(units)*SlabUnit)
}
