ARG BASE_IMAGE
FROM $BASE_IMAGE
ARG VERSION
RUN make VERSION=$VERSION
RUN --network=none ["make", "check"]
COPY --chown=1:2 --chmod=640 src/one.txt /one
CMD ["run"]
