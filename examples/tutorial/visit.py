"""Visits a page through a stock stub: visit.py HOST:PORT SERVER PAGE."""
import sys

import grpc
import visits_pb2
import visits_pb2_grpc

endpoint, server, page = sys.argv[1:]
with grpc.insecure_channel(endpoint) as channel:
    stub = visits_pb2_grpc.VisitsStub(channel)
    answer = stub.Visit(visits_pb2.VisitRequest(page=page), timeout=5,
                        metadata=[("muster-name", server)])
    print(answer.page, answer.count)
