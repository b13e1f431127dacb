# syntax=docker/dockerfile:1

# Debian 12 for both stages: better-sqlite3 is compiled against the libc it will run on.
FROM node:22-bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 make g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json ./
# Scripts wait for the sources, since the package's own prepare script builds them.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY config ./config
COPY migrations ./migrations
# The headers of the image's own Node spare a download.
RUN npm run build \
 && npm prune --omit=dev --ignore-scripts \
 && npm_config_nodedir=/usr/local npm rebuild better-sqlite3

FROM node:22-bookworm-slim
ENV NODE_ENV=production \
    HEADGATE_CONFIG=/etc/headgate/config.yaml
# Existing and owned before the volume is, so that a fresh volume takes the owner over.
RUN install -d -o node -g node -m 0700 /home/node/.local/state/headgate \
 && install -d /etc/headgate
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY src/dashboard ./src/dashboard
COPY package.json LICENSE README.md ./
COPY config ./config
COPY migrations ./migrations
COPY docs ./docs
COPY config/container.yaml /etc/headgate/config.yaml
USER node
VOLUME /home/node/.local/state/headgate
EXPOSE 4290
# SIGTERM drains; give it as long as queue.drain: docker stop --time 45.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:4290/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Node as process 1 gets signals itself, and headgate starts no children.
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve"]
