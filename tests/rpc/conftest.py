"""Before any test of this folder imports grpc: as vallum.stage.rpc.library has it."""

from vallum.stage import rpc

rpc.library()
