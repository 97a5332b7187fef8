FROM scratch
ENV GREETING=hello
WORKDIR /work
COPY src/ /src/
