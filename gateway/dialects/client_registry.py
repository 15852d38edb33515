"""Which client dialect a path speaks."""

from gateway.dialects.chat_client import ChatClient
from gateway.dialects.client import ClientDialect
from gateway.dialects.completions_client import CompletionsClient
from gateway.dialects.embeddings_client import EmbeddingsClient
from gateway.dialects.images_client import ImagesClient
from gateway.dialects.messages_client import MessagesClient
from gateway.dialects.moderations_client import ModerationsClient
from gateway.dialects.rerank_client import RerankClient
from gateway.dialects.responses_client import ResponsesClient
from gateway.dialects.speech_client import SpeechClient
from gateway.dialects.transcriptions_client import TranscriptionsClient

MESSAGES = MessagesClient()
_IMAGES = ImagesClient()

CLIENT_DIALECTS: dict[str, ClientDialect] = {
    "/api/v1/audio/speech": SpeechClient(),
    "/api/v1/audio/transcriptions": TranscriptionsClient(),
    "/api/v1/chat/completions": ChatClient(),
    "/api/v1/completions": CompletionsClient(),
    "/api/v1/embeddings": EmbeddingsClient(),
    "/api/v1/images": _IMAGES,
    "/api/v1/images/generations": _IMAGES,
    "/api/v1/messages": MESSAGES,
    "/api/v1/moderations": ModerationsClient(),
    "/api/v1/rerank": RerankClient(),
    "/api/v1/responses": ResponsesClient(),
}
