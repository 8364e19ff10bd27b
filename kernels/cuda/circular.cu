/*
 * circular.cu - sine and cosine, element by element.
 */
#include "kernels/cuda/map.cuh"

TP_CURVE_VALUE(FLOATS, sin, sin(a))
TP_CURVE_SLOPE(sin_dx, cos(b))
TP_CURVE_SLOPE(sin_ddx, -sin(b))
TP_CURVE_VALUE(FLOATS, cos, cos(a))
TP_CURVE_SLOPE(cos_dx, -sin(b))
TP_CURVE_SLOPE(cos_ddx, -cos(b))
