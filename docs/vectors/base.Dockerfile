FROM scratch
ENV GREETING=hello
WORKDIR /made
COPY src/ /src/
