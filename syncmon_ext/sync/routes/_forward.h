/* What _forward.c gives to the module that _copy.c makes. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

PyObject *new_forward(PyObject *self, PyObject *args);
PyObject *forward(PyObject *self, PyObject *args);
