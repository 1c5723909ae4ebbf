using System.Data.Common;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http.Features;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Hosting;

/// <summary>
/// The one place where exceptions and bare status codes become problem details. What a client did wrong is told in its words; what we did wrong is
/// logged under a trace id that the client gets instead of the message.
/// </summary>
internal sealed partial class ErrorAnswers(RequestDelegate next, ILogger<ErrorAnswers> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
            if (BareStatus(context) is { } problem) await problem.ExecuteAsync(context);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client went away: there is nobody to answer.
        }
        catch (Exception exception) when (!context.Response.HasStarted)
        {
            var problem = Explain(context, exception);
            context.Response.Clear();
            await problem.ExecuteAsync(context);
        }
        catch (Exception exception)
        {
            // The answer is under way: only cutting the connection tells the client that it is incomplete.
            LogCut(logger, context.Request.Method, context.Request.Path, exception);
            context.Abort();
        }
    }

    private Problem Explain(HttpContext context, Exception exception)
    {
        switch (exception)
        {
            case BadHttpRequestException bad: return BadRequest(bad, context);
            case IOException or InvalidDataException when context.Request.HasFormContentType:
                return Problem.Of(400, ErrorCode.MalformedBody, "The body is not a form that can be read.", "Send the form as the page shows it.");
            // The framework's reading of JSON takes an unknown charset for a bug of ours.
            case InvalidOperationException when !HasKnownCharset(context.Request): return UnsupportedMediaType();
            case DbException { IsTransient: true }:
                LogUnavailable(logger, context.Request.Method, context.Request.Path, exception);
                return Unavailable("The database does not answer.");
            default:
                var traceId = Activity.Current?.TraceId.ToString() ?? context.TraceIdentifier;
                LogFailed(logger, context.Request.Method, context.Request.Path, traceId, exception);
                return new Problem(Problem.Of(500, ErrorCode.InternalError, "The server failed at this request.",
                    "Try again; if it stays, give the trace id to the operator of the server.").Value with
                { TraceId = traceId });
        }
    }

    internal static Problem Unavailable(string detail) =>
        new(Problem.Of(503, ErrorCode.Unavailable, detail, "Try again in a moment.").Value) { RetryAfterSeconds = 1 };

    internal static Problem TooLarge(long limit) => Problem.Of(413, ErrorCode.BodyTooLarge,
        $"The body is larger than the {limit} bytes that this route takes.", "Send less at once.");

    private static Problem TooLarge(HttpContext context) =>
        TooLarge(context.Features.Get<IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize ?? WireLimits.MaxBodyBytes);

    private static Problem TooSlow() => Problem.Of(408, ErrorCode.BodyTooSlow, "The body came too slowly.", "Send the request again over a faster connection.");

    private static Problem BadRequest(BadHttpRequestException exception, HttpContext context) => exception.StatusCode switch
    {
        408 => TooSlow(),
        413 => TooLarge(context),
        415 => UnsupportedMediaType(),
        _ when exception.InnerException is JsonException json => Malformed(json),
        _ when exception.Message.Contains("body", StringComparison.OrdinalIgnoreCase) => Problem.Of(400, ErrorCode.MalformedBody,
            "The request has no JSON body, or it ended early.", "Send the fields of this route as a JSON object; the OpenAPI document at /openapi/v1.json lists them."),
        _ => MalformedRequest(exception.Message),
    };

    /// <summary>A value that does not fit its field is named as every other bad value is; JSON that can't be read has no fields.</summary>
    private static Problem Malformed(JsonException json)
    {
        var path = json.Path?.TrimStart('$', '.') ?? "";
        if (MissingProperties().Match(json.Message) is { Success: true } missing)
            return Problem.Validation(missing.Groups["name"].Captures.ToDictionary(name => path.Length > 0 ? $"{path}.{name.Value}" : name.Value, _ => (string[])["is required"]));
        // The reader's own exception is inside when it could not read on.
        if (path.Length > 0 && json.InnerException is not JsonException)
            return Problem.Validation(new Dictionary<string, string[]> { [path] = ["is not of the type or range of this field"] });
        var place = path.Length > 0 ? $"at '{path}'" : "at its top";
        var position = json.LineNumber is { } line ? $" (line {line + 1}, byte {json.BytePositionInLine})" : "";
        return Problem.Of(400, ErrorCode.MalformedBody, $"The body is not the JSON of this route: the problem is {place}{position}.",
            "Compare it with the OpenAPI document at /openapi/v1.json.");
    }

    private static Problem MalformedRequest(string message) => Parameter().Match(message) is { Success: true } parameter
        ? Problem.Validation(new Dictionary<string, string[]> { [parameter.Groups["name"].Value] = [parameter.Groups["value"].Success ? $"can't be '{parameter.Groups["value"].Value}'" : "is required"] })
        : Problem.Of(400, ErrorCode.MalformedRequest, message, "Correct the named parameter or header and send the request again.");

    // The framework tells which property or parameter it was only in its words; a test holds them to it.
    [GeneratedRegex("missing required properties including: ('(?<name>[^']+)'(, )?)+", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex MissingProperties();

    [GeneratedRegex("^(Failed to bind|Required) parameter \"([^\"]* )?(?<name>[\\w-]+)\" (from \"(?<value>.*)\"|was not provided)", RegexOptions.ExplicitCapture | RegexOptions.Singleline, 1000)]
    private static partial Regex Parameter();

    private static Problem UnsupportedMediaType() => Problem.Of(415, ErrorCode.UnsupportedMediaType, "The body must be JSON.", "Send it with 'Content-Type: application/json'.");

    private static bool HasKnownCharset(HttpRequest request)
    {
        var charset = request.GetTypedHeaders().ContentType?.Charset ?? default;
        return charset.Length == 0 || Encoding.GetEncodings().Any(known => charset.Equals(known.Name, StringComparison.OrdinalIgnoreCase));
    }

    private static Problem? BareStatus(HttpContext context)
    {
        var response = context.Response;
        if (response.HasStarted || response.ContentType is not null || response.ContentLength > 0) return null;
        return response.StatusCode switch
        {
            404 => Problem.Of(404, ErrorCode.NotFound, $"There is no route '{context.Request.Path}'.", "The OpenAPI document at /openapi/v1.json lists the routes."),
            405 => Problem.Of(405, ErrorCode.MethodNotAllowed, $"'{context.Request.Path}' does not take {context.Request.Method}.",
                $"It takes {(response.Headers.Allow.Count > 0 ? response.Headers.Allow.ToString() : "other methods")}."),
            // The framework's reading of JSON bodies turns these exceptions of the listener into bare statuses.
            408 => TooSlow(),
            413 => TooLarge(context),
            415 => UnsupportedMediaType(),
            _ => null,
        };
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} failed; trace {TraceId}")]
    private static partial void LogFailed(ILogger logger, string method, string path, string traceId, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Method} {Path} could not reach the database")]
    private static partial void LogUnavailable(ILogger logger, string method, string path, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} failed after its answer had begun; the connection is cut")]
    private static partial void LogCut(ILogger logger, string method, string path, Exception exception);
}
