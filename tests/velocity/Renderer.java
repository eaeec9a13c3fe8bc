import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.commons.lang3.StringEscapeUtils;
import org.apache.velocity.Template;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.VelocityEngine;
import org.apache.velocity.runtime.resource.loader.StringResourceLoader;
import org.apache.velocity.runtime.resource.util.StringResourceRepository;

/** Mapping templates on Apache Velocity: for each line of JSON that asks, a line that answers, until there are no more. */
public final class Renderer {
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();
    private static final JsonMapper ASCII =
            JsonMapper.builder().enable(JsonWriteFeature.ESCAPE_NON_ASCII).build();

    private final VelocityEngine velocity = new VelocityEngine();
    private final Map<String, Template> templates = new HashMap<>();

    public static void main(String[] none) throws IOException {
        Renderer renderer = new Renderer();
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Writer answers = new OutputStreamWriter(System.out, StandardCharsets.US_ASCII);
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            answers.write(ASCII.writeValueAsString(renderer.answer(objectOf(JSON.readValue(line, Map.class)))));
            answers.write('\n');
            answers.flush();
        }
    }

    private Renderer() {
        // Version 2 as version 1 was, which leaves these unread.
        velocity.setProperty("parser.allow_hyphen_in_identifiers", "true");
        velocity.setProperty("directive.if.empty_check", "false");
        velocity.setProperty("introspector.conversion_handler.class", "none");
        velocity.setProperty("space.gobbling", "bc");
        velocity.setProperty("velocimacro.enable_bc_mode", "true");
        // API Gateway's quota, by the name of each version.
        velocity.setProperty("directive.foreach.maxloops", "1000");
        velocity.setProperty("directive.foreach.max_loops", "1000");
        velocity.setProperty("input.encoding", "UTF-8");
        velocity.setProperty("resource.loader", "string");
        velocity.setProperty("string.resource.loader.class", StringResourceLoader.class.getName());
        velocity.setProperty("runtime.log.logsystem.class", "org.apache.velocity.runtime.log.NullLogChute");
        velocity.init();
    }

    private Map<String, Object> answer(Map<String, Object> asked) {
        Map<String, Object> override = new LinkedHashMap<>();
        override.put("header", new LinkedHashMap<String, Object>());
        Map<String, Object> context = new LinkedHashMap<>(objectOf(asked.get("context")));
        context.put("responseOverride", override);
        VelocityContext scope = new VelocityContext();
        scope.put("input", new Input(asked));
        scope.put("util", new Util());
        scope.put("context", context);
        scope.put("stageVariables", asked.get("stageVariables"));
        StringWriter text = new StringWriter();
        try {
            parsed((String) asked.get("template")).merge(scope, text);
            return rendered(text.toString(), override);
        } catch (Exception problem) {
            return Map.of("error", problem.toString());
        }
    }

    private Template parsed(String text) {
        return templates.computeIfAbsent(text, unknown -> {
            StringResourceRepository repository = StringResourceLoader.getRepository();
            repository.putStringResource("template", text);
            return velocity.getTemplate("template");
        });
    }

    private static Map<String, Object> rendered(String text, Map<String, Object> override) {
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("text", text);
        Object status = override.get("status");
        answer.put("status", status == null ? null : Integer.valueOf(status.toString()));
        Map<String, Object> headers = new LinkedHashMap<>();
        objectOf(override.get("header")).forEach((name, value) -> {
            if (value != null) {
                headers.put(name, value.toString());
            }
        });
        answer.put("headers", headers);
        return answer;
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> objectOf(Object value) {
        return (Map<String, Object>) value;
    }

    /** {@code $input}. */
    public static final class Input {
        private static final Pattern STEP = Pattern.compile("\\.([A-Za-z_][\\w-]*)|\\[(\\d+)\\]|\\['([^']*)'\\]");
        private final Map<String, Object> asked;
        private final String body;

        Input(Map<String, Object> asked) {
            this.asked = asked;
            String given = (String) asked.get("body");
            this.body = given.isEmpty() ? "{}" : given;
        }

        public String getBody() {
            return body;
        }

        public Object path(String expression) {
            if (!expression.startsWith("$")) {
                throw new IllegalArgumentException("not a JSON path: " + expression);
            }
            Object found = parsedBody();
            Matcher step = STEP.matcher(expression).region(1, expression.length());
            for (int position = 1; position < expression.length(); position = step.end()) {
                if (!step.region(position, expression.length()).lookingAt()) {
                    throw new IllegalArgumentException("not a path of names and indexes: " + expression);
                }
                found = step.group(2) == null
                        ? member(found, step.group(1) == null ? step.group(3) : step.group(1))
                        : item(found, Integer.parseInt(step.group(2)));
            }
            return found;
        }

        public String json(String expression) throws JsonProcessingException {
            Object found = path(expression);
            return JSON.writeValueAsString(found == null ? "" : found);
        }

        public Map<String, Object> params() {
            Map<String, Object> all = new LinkedHashMap<>();
            all.put("path", asked.get("path"));
            all.put("querystring", asked.get("query"));
            all.put("header", asked.get("headers"));
            return all;
        }

        public String params(String name) {
            Map<String, Object> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
            headers.putAll(objectOf(asked.get("headers")));
            for (Map<String, Object> each : List.of(objectOf(asked.get("path")), objectOf(asked.get("query")), headers)) {
                Object value = each.get(name);
                if (value != null && !value.equals("")) {
                    return (String) value;
                }
            }
            return "";
        }

        private Object parsedBody() {
            try {
                return JSON.readValue(body, Object.class);
            } catch (JsonProcessingException noJson) {
                return null;
            }
        }

        private static Object member(Object found, String name) {
            return found instanceof Map ? ((Map<?, ?>) found).get(name) : null;
        }

        private static Object item(Object found, int index) {
            return found instanceof List && index < ((List<?>) found).size() ? ((List<?>) found).get(index) : null;
        }
    }

    /** {@code $util}. What is no text finds no method here, and its reference is printed as it stands. */
    public static final class Util {
        public String urlEncode(String text) {
            return URLEncoder.encode(text, StandardCharsets.UTF_8);
        }

        public String urlDecode(String text) {
            return URLDecoder.decode(text, StandardCharsets.UTF_8);
        }

        public String base64Encode(String text) {
            return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
        }

        public String base64Decode(String text) {
            return new String(Base64.getDecoder().decode(text), StandardCharsets.UTF_8);
        }

        @SuppressWarnings("deprecation") // It came with Velocity 2, and its successor is one more jar.
        public String escapeJavaScript(String text) {
            return StringEscapeUtils.escapeEcmaScript(text);
        }

        public Object parseJson(String text) throws JsonProcessingException {
            return JSON.readValue(text, Object.class);
        }
    }
}
